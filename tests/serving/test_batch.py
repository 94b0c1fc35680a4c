"""Batch and the API give the same answer for the same ask."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest
import redis
from starlette.testclient import TestClient

from decisioning.customer import Customer
from decisioning.errors import InvalidInputError, ModelUnavailableError, UnavailableError, UnknownNameError
from features.log.contracts import DECISIONS
from features.log.event_log import EventLog
from features.models.logged_decisions import LoggedDecisions
from features.online.redis_keys import (
    PACER_KEY,
    SHARD_COUNT,
    STATE_KEY,
    counter_key,
    feature_key,
    household_pointer_key,
    stream_key,
)
from features.settings import Settings
from pipelines.batch import run as batch
from pipelines.batch import worker as batch_worker
from pipelines.batch.customer_options import Volume
from pipelines.batch.run import BatchPlan, BatchReport, ModelCopy, decide_audience
from serving.log.drain import drain_alone

type Batch = Callable[..., tuple[BatchReport, list[dict[str, Any]]]]


@pytest.fixture
def run(settings: Settings, registry: Any, store: Any, clock: Any, tmp_path: Path) -> Batch:
    def decide(audience: pl.DataFrame | Path, **changes: Any) -> tuple[BatchReport, list[dict[str, Any]]]:
        path = audience if isinstance(audience, Path) else tmp_path / "audience.parquet"
        if isinstance(audience, pl.DataFrame):
            audience.write_parquet(path)
        url = changes.pop("redis_url", settings.redis_url)
        champion = registry.champion and ModelCopy(folder=registry.champion.folder, version=registry.champion.version)
        fields: dict[str, Any] = {"touchpoint_id": "weekly-mail", "now": clock.now, **changes}
        plan = BatchPlan(audience=path, out=tmp_path / "out.parquet", **fields)
        report = decide_audience(plan, settings, redis_url=url, model=champion)
        return report, pl.read_parquet(plan.out).to_dicts()

    return decide


@pytest.fixture
def crowd(store: Any, new_customer: Callable[..., Customer]) -> list[str]:
    """Customers who differ in everything a decision uses; one without features, one unknown."""
    rng = np.random.default_rng(5)
    ids = []
    for n in range(60):
        customer = new_customer(
            f"C-{n}",
            attributes={"age": int(rng.integers(10, 80)), "region": "north", "first_name": f"N{n}"},
            reachable_channels=frozenset({"email", "push"} if n % 3 else {"email"}),
            consents=new_customer("x").consents[: int(rng.integers(0, 5))],
        )
        features = {
            "customer_tenure_days": float(rng.integers(1, 900)),
            "purchase_count_90d": float(rng.integers(0, 9)),
        }
        ids.append(store.put(customer, features=features))
    store.client.delete(feature_key("C-7"))
    return [*ids, "nobody"]


def records(
    settings: Settings, live_redis: redis.Redis, key: str | None = None, *, archived: Settings | None = None
) -> dict[str, dict[str, Any]]:
    """Drained records by customer; only those of asks with `key`, if given.

    `archived` is the home with the archived catalogue, if it differs from that of the log.
    """
    log = EventLog(settings.log_path)
    drain_alone(live_redis, log, settings.spool_path)
    logged = LoggedDecisions(archived or settings)
    found = [logged.document(row) for row in log.read(DECISIONS).iter_rows(named=True)]
    wanted = [one for one in found if key is None or one["inputs"]["request"]["request_key"] == key]
    return {record["customer_id"]: record | {"decision_id": None} for record in wanted}


def test_a_batch_makes_the_same_decisions_as_the_api_for_the_same_keys(
    client: TestClient, run: Batch, crowd: list[str], settings: Settings, live_redis: redis.Redis, tmp_path: Path
) -> None:
    by_api = {}
    for name in crowd:
        ask = {"customer_id": name, "touchpoint": "weekly-mail", "dedupe_key": "w45"}
        by_api[name] = client.post("/v1/decisions", json=ask).json()
    api_records = records(settings, live_redis)
    for key in live_redis.scan_iter("nb:*"):  # forget answers and contacts: the batch decides about the same customers
        if b":f:" not in key and b":c:" not in key and key != STATE_KEY.encode():
            live_redis.delete(key)
    other = settings.model_copy(update={"home": tmp_path / "other"})

    report, rows = run(pl.DataFrame({"customer_id": crowd}), key="w45")

    assert report.replayed == 0
    assert {row["customer_id"] for row in rows} == set(crowd)
    for row in rows:
        answer = by_api[row["customer_id"]]
        selected = answer["selected"] or {}
        assert (row["action"], row["reason"], row["stage"]) == (answer["action"], answer["reason"], answer["stage"])
        assert [row["offer_id"], row["channel"]] == [selected.get("offer_id"), selected.get("channel")]
        assert row["action_probability"] == answer["action_probability"]
        assert row["expected_value"] == (selected["expected_value"] or {}).get("amount") if selected else True
        assert orjson.loads(row["content"] or "{}") == selected.get("content", {})
    assert records(other, live_redis, archived=settings) == api_records  # bit for bit, except for the id
    assert {answer["action"] for answer in by_api.values()} == {"send", "hold"}


def test_the_api_returns_the_decision_that_a_batch_made_with_the_same_key(
    client: TestClient, run: Batch, crowd: list[str]
) -> None:
    _, rows = run(pl.DataFrame({"customer_id": crowd[:5]}), key="w45")

    for row in rows:
        ask = {"customer_id": row["customer_id"], "touchpoint": "weekly-mail", "dedupe_key": "w45"}
        again = client.post("/v1/decisions", json=ask).json()
        assert (again["decision_id"], again["replayed"]) == (row["decision_id"], True)


def test_a_repeated_batch_keeps_its_decisions_and_logs_nothing_new(
    run: Batch, crowd: list[str], live_redis: redis.Redis
) -> None:
    first, before = run(pl.DataFrame({"customer_id": crowd}), key="w45")
    again, after = run(pl.DataFrame({"customer_id": crowd}), key="w45")

    assert (first.replayed, again.replayed) == (0, len(crowd))
    assert [row["decision_id"] for row in after] == [row["decision_id"] for row in before]
    assert sum(live_redis.xlen(stream_key(shard)) for shard in range(SHARD_COUNT)) == len(crowd)


def test_a_key_column_overrides_the_key_and_duplicates_in_the_file_share_a_decision(
    run: Batch, crowd: list[str]
) -> None:
    audience = pl.DataFrame({"customer_id": ["C-1", "C-1", "C-1"], "dedupe_key": ["a", "a", None]})

    _, rows = run(audience, key="b")

    assert rows[0]["decision_id"] == rows[1]["decision_id"] != rows[2]["decision_id"]


def test_without_a_key_every_run_makes_new_decisions(run: Batch, crowd: list[str]) -> None:
    _, first = run(pl.DataFrame({"customer_id": ["C-1"]}))
    _, again = run(pl.DataFrame({"customer_id": ["C-1"]}))

    assert first[0]["decision_id"] != again[0]["decision_id"]


def decided_keys(client: redis.Redis) -> list[bytes]:
    """All keys except the mark of the home and the case metrics, which another test may still be writing."""
    keys: list[bytes] = client.keys()  # pyright: ignore[reportAssignmentType]
    return sorted(key for key in keys if not key.endswith(b":care-watch") and key != STATE_KEY.encode())


def test_a_dry_run_logs_nothing(run: Batch, crowd: list[str], live_redis: redis.Redis) -> None:
    before = decided_keys(live_redis)
    report, rows = run(pl.DataFrame({"customer_id": crowd}), key="w45", is_dry_run=True)

    assert report.decided == len(crowd)
    assert {row["decision_id"] for row in rows} == {None}
    assert decided_keys(live_redis) == before


def test_context_columns_reach_the_decision_and_missing_ones_stay_missing(
    run: Batch, crowd: list[str], settings: Settings, live_redis: redis.Redis
) -> None:
    audience = pl.DataFrame({"customer_id": ["C-1", "C-2", "C-3"], "basket_value": [12.5, None, float("nan")]})

    run(audience, touchpoint_id="app-home")

    context = {name: one["inputs"]["request"]["context"] for name, one in records(settings, live_redis).items()}
    assert context == {"C-1": {"basket_value": 12.5}, "C-2": {}, "C-3": {}}


def test_several_processes_give_the_same_rows_in_the_same_order(
    run: Batch, crowd: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "SMALL", 10)
    monkeypatch.setattr(batch, "SLICE", 16)

    report, rows = run(pl.DataFrame({"customer_id": crowd}), key="w45", workers=2, is_dry_run=True)
    _, alone = run(pl.DataFrame({"customer_id": crowd}), key="w45", is_dry_run=True)

    assert report.decided == len(crowd)
    assert rows == alone


def test_an_empty_audience_gives_an_empty_result(run: Batch) -> None:
    report, rows = run(pl.DataFrame({"customer_id": []}, schema={"customer_id": pl.String}))

    assert (report.decided, rows) == (0, [])


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"customer": ["C-1"]}, "rename 'customer'"),
        ({"customer_id": [True]}, "must hold text, got bool"),
        ({"customer_id": [1.5, None]}, "in 1 rows (row 2)"),
        ({"customer_id": ["C-1", None, "", "a\nb", "x" * 201]}, "in 4 rows (row 2, 3, 4, 5)"),
        ({"customer_id": ["C-1"], "dedupe_key": [[7]]}, "'dedupe_key' must hold text"),
        ({"customer_id": ["C-1"], "dedupe_key": [""]}, "dedupe_key must be 1 to 255"),
        ({"customer_id": ["C-1"], "dedup_key": ["a"]}, "did you mean 'dedupe_key'"),
        ({"customer_id": ["C-1"], "basket_valu": [1.0]}, "did you mean 'basket_value'"),
        ({"customer_id": ["C-1"], "basket_value": ["many"]}, "must hold numbers"),
    ],
)
def test_a_wrong_audience_is_refused_before_anything_is_decided(
    run: Batch, live_redis: redis.Redis, tmp_path: Path, columns: dict[str, list[Any]], words: str
) -> None:
    with pytest.raises(InvalidInputError) as error:
        run(pl.DataFrame(columns), touchpoint_id="app-home")

    assert words in str(error.value)
    assert not decided_keys(live_redis)
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("content", [b"", b"PAR1", b"customer_id\nC-1\n", None])
def test_a_file_that_is_not_parquet_is_refused(run: Batch, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.parquet"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(InvalidInputError, match="audience must be"):
        run(path)


def test_a_truncated_parquet_file_is_refused(run: Batch, tmp_path: Path) -> None:
    path = tmp_path / "cut.parquet"
    pl.DataFrame({"customer_id": [f"C-{n}" for n in range(5_000)]}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-200])

    with pytest.raises(InvalidInputError, match="readable Parquet"):
        run(path)


def test_an_unknown_touchpoint_is_refused(run: Batch) -> None:
    with pytest.raises(UnknownNameError, match="weekly-mail"):
        run(pl.DataFrame({"customer_id": ["C-1"]}), touchpoint_id="weekly-mial")


def test_a_batch_starts_without_a_model_only_if_asked_to(run: Batch, registry: Any, crowd: list[str]) -> None:
    registry.champion = None

    with pytest.raises(ModelUnavailableError, match="--without-model"):
        run(pl.DataFrame({"customer_id": crowd}))
    report, _ = run(pl.DataFrame({"customer_id": crowd}), allows_no_model=True)
    assert report.model_version is None


def test_a_batch_stops_without_redis_and_leaves_no_partial_result(
    run: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_worker, "CONNECT_S", 0.3)
    with pytest.raises(UnavailableError):
        run(pl.DataFrame({"customer_id": ["C-1"]}), redis_url="redis://127.0.0.1:1/0")

    assert [path.name for path in tmp_path.glob("*out*")] == []


RULES = """
contact_policy:
  caps:
    week: {scope: everything, limit: 2, window_days: 7}
    house: {scope: department, of: marketing, limit: 1, window_days: 7, per: household}
quiet_hours: {rules: [{channels: [push], from: "10:00", until: "18:00"}]}
limits: {pushes: {scope: channel, of: push, amount: 4, per: day}}
"""


def snapshot(client: redis.Redis) -> dict[bytes, bytes]:
    return {key: client.dump(key) for key in client.scan_iter("*")}


def restore(client: redis.Redis, kept: dict[bytes, bytes]) -> None:
    for key in client.scan_iter("*"):
        if key != PACER_KEY.encode():
            client.delete(key)
    for key, value in kept.items():
        client.restore(key, 0, value, replace=True)


@pytest.fixture
def no_prices(live_redis: redis.Redis) -> None:
    """Nothing sets prices meanwhile, so that two runs use the same ones."""
    live_redis.set(PACER_KEY, "nobody")


def without_versions(record: dict[str, Any]) -> dict[str, Any]:
    told = record["inputs"].get("live") or {}
    live = {name: value for name, value in told.items() if not name.endswith("version")}
    return record | {"inputs": record["inputs"] | {"live": strip_ids(live)}}


def strip_ids(live: dict[str, Any]) -> dict[str, Any]:
    """Contacts without ids, in a fixed order: decision ids differ in every run."""
    return {
        name: sorted(({key: value for key, value in one.items() if key != "contact_id"} for one in found), key=str)
        if name in ("contacts", "household_contacts")
        else found
        for name, found in live.items()
    }


def test_caps_households_quiet_hours_and_limits_hold_in_a_batch_as_in_single_decisions(
    serve: Callable[..., TestClient], run: Batch, crowd: list[str], settings: Settings, live_redis: redis.Redis,
    tmp_path: Path, no_prices: None,
) -> None:  # fmt: skip
    client = serve(RULES)
    for place, name in enumerate(crowd):
        live_redis.set(household_pointer_key(name), f"H-{place % 12}")  # families of five, all in one slice
    for name in crowd[:20]:
        client.post("/v1/decisions", json={"customer_id": name, "touchpoint": "weekly-mail"})
    records(settings, live_redis)
    before = snapshot(live_redis)
    by_api = {}
    for name in crowd:
        ask = {"customer_id": name, "touchpoint": "weekly-mail", "dedupe_key": "w45"}
        by_api[name] = client.post("/v1/decisions", json=ask).json()
    api_records = records(settings, live_redis, "w45")
    restore(live_redis, before)

    report, rows = run(pl.DataFrame({"customer_id": crowd}), key="w45")

    batch_records = records(settings.model_copy(update={"home": tmp_path / "other"}), live_redis, archived=settings)
    told = {row["customer_id"]: (row["action"], row["reason"], row["offer_id"], row["channel"]) for row in rows}
    assert report.conflicts > 0
    for name in crowd:
        selected = by_api[name]["selected"] or {}
        expected = (by_api[name]["action"], by_api[name]["reason"], selected.get("offer_id"), selected.get("channel"))
        assert told[name] == expected
        if selected:  # silence needs no room, so it is not decided again if a household member was faster
            assert without_versions(batch_records[name]) == without_versions(api_records[name])
    reasons = {code for record in batch_records.values() for one in record["excluded"] for code in one["reasons"]}
    assert {"CAP_REACHED", "QUIET_HOURS"} <= reasons


SCARCE = """
limits:
  mails: {scope: channel, of: email, amount: 10, per: day}
  pushes: {scope: channel, of: push, amount: 5, per: day}
classes: {service: {precedence: false}}
"""


def sent(rows: list[dict[str, Any]], field: str) -> dict[str | None, int]:
    counts: dict[str | None, int] = {}
    for row in rows:
        counts[row[field]] = counts.get(row[field], 0) + 1
    return counts


def worth(rows: list[dict[str, Any]]) -> float:
    return sum(row["uplift"] or 0.0 for row in rows)


def test_an_allocation_keeps_limits_and_beats_first_come_first_served(
    serve: Callable[..., TestClient], run: Batch, crowd: list[str], settings: Settings, live_redis: redis.Redis,
    no_prices: None,
) -> None:  # fmt: skip
    serve(SCARCE)
    before = snapshot(live_redis)
    _, wishes = run(pl.DataFrame({"customer_id": crowd}), is_dry_run=True)
    crowd.sort(key=lambda name: next(row["uplift"] or 0.0 for row in wishes if row["customer_id"] == name))
    _, first_come = run(pl.DataFrame({"customer_id": crowd}), key="w45")
    restore(live_redis, before)

    report, rows = run(pl.DataFrame({"customer_id": crowd}), key="w45", optimises=True)

    assert sent(rows, "channel") == {"email": 10, "push": 5, None: len(crowd) - 15}
    assert worth(rows) > worth(first_come)
    assert report.allocation is not None
    assert (report.allocation.gap, report.allocation.kept, report.allocation.planned) == (0, len(crowd), 15)
    assert min(report.allocation.shadow_prices[name] for name in ("mails", "pushes")) > 0
    assert [row["customer_id"] for row in rows] == crowd
    planned = [one for one in records(settings, live_redis).values() if one["reason"] == "ALLOCATED"]
    assert len(planned) >= 15
    prices = planned[0]["inputs"]["supply"]["prices_minor"]
    assert prices == pytest.approx({name: 100 * price for name, price in report.allocation.shadow_prices.items()})


def test_volumes_are_reached_and_a_repeated_run_keeps_its_allocation(
    serve: Callable[..., TestClient], run: Batch, crowd: list[str]
) -> None:
    serve(SCARCE)
    volumes = (Volume(offer_id="free-coffee", least=6), Volume(offer_id="ten-percent", most=2))

    report, rows = run(pl.DataFrame({"customer_id": crowd}), key="w45", optimises=True, volumes=volumes)
    again, same = run(pl.DataFrame({"customer_id": crowd}), key="w45", optimises=True, volumes=volumes)

    assert sent(rows, "offer_id")["free-coffee"] >= 6
    assert sent(rows, "offer_id").get("ten-percent", 0) <= 2
    assert (report.replayed, again.replayed) == (0, len(crowd))
    assert [row["decision_id"] for row in same] == [row["decision_id"] for row in rows]
    assert again.allocation is not None
    assert again.allocation.planned == 0


def test_an_impossible_volume_is_explained_and_nothing_is_decided(
    serve: Callable[..., TestClient], run: Batch, crowd: list[str], live_redis: redis.Redis, tmp_path: Path
) -> None:
    serve(SCARCE)
    before = sorted(live_redis.keys())

    def impossible(*volumes: Volume, touchpoint_id: str = "weekly-mail") -> str:
        with pytest.raises((InvalidInputError, UnknownNameError)) as error:
            run(
                pl.DataFrame({"customer_id": crowd}),
                key="w45",
                optimises=True,
                volumes=volumes,
                touchpoint_id=touchpoint_id,
            )
        return str(error.value)

    words = impossible(Volume(offer_id="free-coffee", least=10_000))
    assert "at least 10,000 of free-coffee is impossible: " in words
    assert 0 < int(words.partition("impossible: ")[2].partition(" ")[0]) < len(crowd)
    assert "falls short by 5" in impossible(Volume(offer_id="free-coffee", least=20))  # of 15 by e-mail and push
    assert "free-coffee" in impossible(Volume(offer_id="free-cofee", least=1))
    assert "at most 3" in impossible(Volume(offer_id="free-coffee", least=5, most=3))
    after = [key for key in live_redis.scan_iter("*") if b"{all}" not in key]  # prices follow
    assert sorted(after) == [key for key in before if b"{all}" not in key]
    assert not (tmp_path / "out.parquet").exists()


def test_a_share_that_cannot_be_met_is_relaxed_and_reported(
    serve: Callable[..., TestClient], run: Batch, crowd: list[str]
) -> None:
    serve(SCARCE + "shares: {calm: {department: marketing, max: 0.5, slack: 0}, care: {department: service, min: 0.9}}")

    report, rows = run(pl.DataFrame({"customer_id": crowd}), optimises=True)

    assert report.allocation is not None
    by_service = sent(rows, "offer_id").get("opening-hours", 0)
    all_sent = len(rows) - sent(rows, "offer_id").get(None, 0)
    assert by_service >= all_sent / 2
    assert report.allocation.kept == len(crowd)


def test_an_allocation_counts_earlier_use_of_limits(
    serve: Callable[..., TestClient], run: Batch, crowd: list[str], live_redis: redis.Redis
) -> None:
    serve(SCARCE)
    live_redis.set(counter_key("limit:mails:2026-11-02"), 8)

    _, rows = run(pl.DataFrame({"customer_id": crowd}), optimises=True)

    assert sent(rows, "channel")["email"] == 2


def test_several_processes_make_the_same_allocation(
    serve: Callable[..., TestClient], run: Batch, crowd: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(SCARCE)
    monkeypatch.setattr(batch, "SMALL", 10)
    monkeypatch.setattr(batch, "SLICE", 16)

    report, rows = run(pl.DataFrame({"customer_id": crowd}), key="w45", workers=2, is_dry_run=True, optimises=True)
    _, alone = run(pl.DataFrame({"customer_id": crowd}), key="w45", is_dry_run=True, optimises=True)

    assert rows == alone
    assert report.allocation is not None
    assert report.allocation.kept == len(crowd)
