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
from features.contracts import DECISIONS
from features.log import EventLog
from features.online.redis_keys import SHARD_COUNT, feature_key, stream_key
from features.settings import Settings
from pipelines import batch
from pipelines.batch import BatchPlan, BatchReport, ModelCopy, decide_audience
from serving.decision_log import drain_alone

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
    """Customers who differ in everything that a decision looks at; one without features, one unknown."""
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


def records(settings: Settings, live_redis: redis.Redis) -> dict[str, dict[str, Any]]:
    log = EventLog(settings.log_path)
    drain_alone(live_redis, log, settings.spool_path)
    found = map(orjson.loads, log.read(DECISIONS)["record"])
    return {record["customer_id"]: record | {"decision_id": None} for record in found}


def test_every_batch_decision_is_the_one_that_the_api_gives_for_the_same_key(
    client: TestClient, run: Batch, crowd: list[str], settings: Settings, live_redis: redis.Redis, tmp_path: Path
) -> None:
    by_api = {}
    for name in crowd:
        ask = {"customer_id": name, "touchpoint": "weekly-mail", "dedupe_key": "w45"}
        by_api[name] = client.post("/v1/decisions", json=ask).json()
    api_records = records(settings, live_redis)
    for key in live_redis.scan_iter("nb:*:k:*"):  # forget the answers, or batch would give them again
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
    assert records(other, live_redis) == api_records  # bit for bit but for the id
    assert {answer["action"] for answer in by_api.values()} == {"send", "hold"}


def test_the_api_gives_the_decision_that_a_batch_made_under_the_same_key(
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


def test_a_key_column_overrides_the_key_and_repeats_within_the_file_share_a_decision(
    run: Batch, crowd: list[str]
) -> None:
    audience = pl.DataFrame({"customer_id": ["C-1", "C-1", "C-1"], "dedupe_key": ["a", "a", None]})

    _, rows = run(audience, key="b")

    assert rows[0]["decision_id"] == rows[1]["decision_id"] != rows[2]["decision_id"]


def test_without_a_key_every_run_decides_anew(run: Batch, crowd: list[str]) -> None:
    _, first = run(pl.DataFrame({"customer_id": ["C-1"]}))
    _, again = run(pl.DataFrame({"customer_id": ["C-1"]}))

    assert first[0]["decision_id"] != again[0]["decision_id"]


def test_a_dry_run_logs_nothing(run: Batch, crowd: list[str], live_redis: redis.Redis) -> None:
    before = sorted(live_redis.keys())
    report, rows = run(pl.DataFrame({"customer_id": crowd}), key="w45", is_dry_run=True)

    assert report.decided == len(crowd)
    assert {row["decision_id"] for row in rows} == {None}
    assert sorted(live_redis.keys()) == before


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
        ({"customer_id": [1, 2]}, "must hold text, got int64"),
        ({"customer_id": ["C-1", None, "", "a\nb", "x" * 201]}, "in 4 rows (row 2, 3, 4, 5)"),
        ({"customer_id": ["C-1"], "dedupe_key": [7]}, "'dedupe_key' must hold text"),
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
    assert not live_redis.keys()
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("content", [b"", b"PAR1", b"customer_id\nC-1\n", None])
def test_a_file_that_is_no_parquet_is_refused(run: Batch, tmp_path: Path, content: bytes | None) -> None:
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


def test_a_batch_does_not_start_without_a_model_unless_told_to(run: Batch, registry: Any, crowd: list[str]) -> None:
    registry.champion = None

    with pytest.raises(ModelUnavailableError, match="--without-model"):
        run(pl.DataFrame({"customer_id": crowd}))
    report, _ = run(pl.DataFrame({"customer_id": crowd}), allows_no_model=True)
    assert report.model_version is None


def test_a_batch_stops_where_redis_is_away_and_leaves_no_half_result(
    run: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "CONNECT_S", 0.3)
    with pytest.raises(UnavailableError):
        run(pl.DataFrame({"customer_id": ["C-1"]}), redis_url="redis://127.0.0.1:1/0")

    assert [path.name for path in tmp_path.glob("*out*")] == []
