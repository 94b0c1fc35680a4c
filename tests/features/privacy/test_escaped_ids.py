"""Ids that JSON and CSV escape are removed from other people's rows too, and the scan finds every spelling."""

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.chain.audit_chain import ChainedLog
from features.log.contracts import CUSTOMERS, EVENTS, OUTCOMES, Table
from features.privacy.file_erasure import erase_from_files, names
from features.privacy.log_erasure import erase_from_log
from features.privacy.scan import traces_below
from features.privacy.spellings import spellings
from features.settings import Settings

NOW = datetime(2026, 11, 2, tzinfo=UTC)
AWKWARD = ["corp\\ann.k", 'Ann "Nan" K', 'back\\"slash', "Zoë\\7", "trailing\\", "O'Brien\\'s", "tab\\t1", "C-17"]


def row(table: Table, key: str, **fields: Any) -> pl.DataFrame:
    plain = dict.fromkeys(table.schema) | {table.key[0]: key, "customer_id": "friend", table.time_column: NOW}
    return pl.DataFrame([plain | fields], schema=table.schema)


def told(value: object) -> str:
    return orjson.dumps(value).decode()


@pytest.mark.parametrize("who", AWKWARD)
def test_other_peoples_rows_lose_the_id_and_keep_the_rest(tmp_path: Path, who: str) -> None:
    log = ChainedLog(tmp_path / "log", b"key")
    log.append(EVENTS, row(EVENTS, "e-1", type="browse", properties=told({"invited_by": who, "page": f"x{who}"})))
    log.append(EVENTS, row(EVENTS, "e-2", type="browse", properties=told({"payload": told({"from": who, "n": 1})})))
    log.append(EVENTS, row(EVENTS, "e-3", type="browse", properties=json.dumps({"by": who})))
    log.append(EVENTS, row(EVENTS, "e-4", type="browse", customer_id=who))
    outcome = {"type": "clicked", "decision_id": "d", "properties": told([who])}
    log.append(OUTCOMES, row(OUTCOMES, "o-1", **outcome))
    log.append(CUSTOMERS, row(CUSTOMERS, "friend", attributes=told({"partner": who})))
    assert {one.path.split("/")[0] for one in traces_below(log.path, [who])} >= {"events", "outcomes", "customers"}
    log.erased.add(who, now=NOW, reason="request")

    assert erase_from_log(log, who)["events"] == 1

    assert traces_below(log.path, [who]) == []
    kept = {key: orjson.loads(text) for key, text in log.read(EVENTS).select("event_id", "properties").iter_rows()}
    assert kept["e-1"] == {"invited_by": "erased", "page": f"x{who}"}
    assert orjson.loads(kept["e-2"]["payload"]) == {"from": "erased", "n": 1}
    assert kept["e-3"] == {"by": "erased"}
    assert log.read(CUSTOMERS)["attributes"].item() == '{"partner":"erased"}'


@pytest.mark.parametrize("who", AWKWARD)
def test_the_scan_finds_every_spelling_in_bytes_and_in_tables(tmp_path: Path, who: str) -> None:
    once = told({"by": who})
    for name, text in {
        "plain.txt": f"seen {who} today",
        "json.jsonl": once,
        "ascii.json": json.dumps({"by": who}),
        "line.jsonl": told({"table": "events", "row": told({"properties": once})}),
        "word.json": told({"note": f"line one\n{who}\tcalled"}),
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    sheet = io.StringIO()
    csv.writer(sheet).writerow(["1", once])
    (tmp_path / "sheet.csv").write_text(sheet.getvalue(), encoding="utf-8")
    pl.DataFrame({"properties": [once, None]}).write_parquet(tmp_path / "part.parquet")

    found = {one.path for one in traces_below(tmp_path, [who])}

    assert found == {path.name for path in tmp_path.iterdir()}
    assert traces_below(tmp_path, [f"{who}0", f"x{who}"]) == []


@pytest.mark.parametrize("who", AWKWARD)
def test_escaped_ids_are_removed_from_loose_files(tmp_path: Path, who: str) -> None:
    settings = Settings(home=tmp_path / "home")
    folder = settings.rejects_path / "20261102T000000Z"
    folder.mkdir(parents=True)
    pl.DataFrame({"customer_id": ["friend", who], "properties": [told({"by": who}), "{}"]}).write_csv(
        folder / "events.csv"
    )
    (folder / "letters.jsonl").write_text(told({"row": told({"by": who})}) + "\n" + told({"row": "{}"}) + "\n")
    assert len(traces_below(settings.home, [who])) == 2

    erase_from_files(settings, who)

    assert traces_below(settings.home, [who]) == []
    assert pl.read_csv(folder / "events.csv").to_dicts() == [{"customer_id": "friend", "properties": '{"by":"erased"}'}]
    assert (folder / "letters.jsonl").read_text() == told({"row": "{}"}) + "\n"


@given(st.text(alphabet='ab"\\/ü-7', min_size=1, max_size=8))
def test_every_json_form_of_an_id_is_among_its_spellings(who: str) -> None:
    spelt = who
    for _ in range(3):
        spelt = orjson.dumps(spelt).decode()[1:-1]
        assert spelt in spellings(who)
        assert names(f'["{spelt}"]', who)
