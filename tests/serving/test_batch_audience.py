"""Audiences as people have them: numeric ids, CSV, duplicate customers; and when to ask again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from decisioning.customer import Customer
from decisioning.errors import InvalidInputError
from features.settings import Settings
from pipelines.batch.run import BatchPlan, BatchReport, decide_audience

type Run = Callable[..., tuple[BatchReport, list[dict[str, Any]]]]


@pytest.fixture
def run(settings: Settings, store: Any, clock: Any, tmp_path: Path, new_customer: Callable[..., Customer]) -> Run:
    for customer_id in ("C-1", "C-2", "17850"):
        store.put(new_customer(customer_id))

    def decide(audience: pl.DataFrame | str | bytes, **changes: Any) -> tuple[BatchReport, list[dict[str, Any]]]:
        path = tmp_path / ("audience.parquet" if isinstance(audience, pl.DataFrame) else "audience.csv")
        if isinstance(audience, pl.DataFrame):
            audience.write_parquet(path)
        else:
            path.write_bytes(audience if isinstance(audience, bytes) else audience.encode())
        fields: dict[str, Any] = {"touchpoint_id": "app-home", "now": clock.now, "is_dry_run": True, **changes}
        plan = BatchPlan(audience=path, out=tmp_path / "out.parquet", allows_no_model=True, **fields)
        report = decide_audience(plan, settings, redis_url=str(settings.redis_url), model=None)
        return report, pl.read_parquet(plan.out).to_dicts()

    return decide


@pytest.mark.parametrize("ids", [[17850, 13085], [17850.0, 13085.0], ["17850.0", "13085"]])
def test_numeric_ids_match_the_customers_with_these_numbers(run: Run, ids: list[Any]) -> None:
    _, rows = run(pl.DataFrame({"customer_id": ids, "dedupe_key": ids}))

    assert [(row["customer_id"], row["dedupe_key"]) for row in rows] == [("17850", "17850"), ("13085", "13085")]


def test_an_audience_in_csv_gives_the_same_decisions_as_in_parquet(run: Run) -> None:
    text = "basket_value;customer_id\r\n12,50;C-1\r\nNA; C-2 \r\n;17850.0\r\n;\r\n"
    frame = pl.DataFrame({"customer_id": ["C-1", "C-2", "17850"], "basket_value": [12.5, None, None]})

    texts = [run(one, key="w45")[1] for one in (text, text.encode("utf-16"))]
    assert texts == [run(frame, key="w45")[1]] * 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "customer_id;basket_value\nC-1;7\nC-2;many\n",
            r"'basket_value' must hold numbers, got 'many' \(row 2, .*semi",
        ),
        ("customer_id,basket_value\nC-1,7\nC-2,7,5\n", "row 2 must be 2 values between commas.*got 3 values"),
        ("customer_id\nC-1\nNA\n", "customer_id must be 1 to 200 printable characters.*row 2"),
        ("customer_id,basket_valu\nC-1,7\n", "did you mean 'basket_value'"),
        ("customer\nC-1\n", "rename 'customer'"),
    ],
)
def test_an_audience_in_csv_is_refused_with_delimiter_row_and_value(run: Run, text: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        run(text)


def test_duplicate_customers_without_a_key_are_reported(run: Run) -> None:
    twice = pl.DataFrame({"customer_id": ["C-1", "C-2", "C-1", "C-1"], "dedupe_key": [None, None, None, "mine"]})

    assert run(twice)[0].repeated == 1
    assert run(twice, key="w45")[0].repeated == 0


def test_the_result_says_when_to_ask_again(run: Run, settings: Settings) -> None:
    rests = "quiet_hours: {rules: [{from: '10:00', until: '12:00'}]}"  # 10:30 where the customer lives
    (settings.catalogue_path / "quiet.yaml").write_text(rests)

    [row] = run(pl.DataFrame({"customer_id": ["C-1"]}), touchpoint_id="weekly-mail")[1]

    assert (row["action"], row["reason"], row["retry_at"]) == ("hold", "DEFERRED", "2026-11-02T11:00:00+00:00")
