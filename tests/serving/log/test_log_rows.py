"""Decisions on their way through the stream: shorter than an object, and the same when they arrive."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest
import redis

from features.chain.audit_chain import open_log
from features.chain.chain_verification import verify_log
from features.chain.decision_seal import SEALED_BY, is_sealed_by_its_key
from features.log.contracts import DECISIONS
from features.log.rows import parse_row
from features.online.redis_keys import stream_key
from features.settings import Settings
from serving.log.drain import DrainReport, drain_alone
from serving.log.log_rows import StreamRow, packed_row

NOTHING: StreamRow = {column.name: None for column in DECISIONS.columns if column.name not in SEALED_BY}
SILENCE = NOTHING | {
    "decision_id": "D-1",
    "customer_id": 'C-"1"',
    "decided_at": datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
    "action_probability": 1.0,
    "record": orjson.dumps({"words": ['a "b"', "é"], "facts": [{"x": 1e22, "y": -0.0, "z": 2**63}, {}]}).decode(),
    "is_held_out": False,
}
MESSAGE = SILENCE | {"offer_id": "o", "channel": "push", "creative_id": "c", "arms": '{"test":"b"}', "placement": "top"}


@pytest.mark.parametrize("row", [SILENCE, MESSAGE, MESSAGE | {"record": None}])
def test_a_packed_row_is_the_same_row_in_less_room(row: StreamRow) -> None:
    assert parse_row("decisions", packed_row(row)) == parse_row("decisions", orjson.dumps(row))
    assert len(packed_row(row)) < len(orjson.dumps({name: one for name, one in row.items() if one is not None}))


def test_a_decision_is_sealed_on_its_way_into_the_log_and_keeps_a_seal_that_it_has(
    redis_url: str, settings: Settings
) -> None:
    """Earlier releases sealed a decision before they streamed it."""
    earlier = SILENCE | {"decision_id": "D-0", "record_key": "00" * 32, "commitment": "11" * 32}
    with redis.Redis.from_url(redis_url) as client:
        for _ in range(2):  # as after a crash before the streams were trimmed
            client.xadd(stream_key(3), {"table": "decisions", "row": packed_row(MESSAGE)})
        client.xadd(stream_key(3), {"table": "decisions", "row": orjson.dumps(earlier)})
        assert drain_alone(client, open_log(settings), settings.spool_path) == DrainReport(inserted=2, duplicates=1)
    kept, made = open_log(settings).read(DECISIONS).sort("decision_id").iter_rows(named=True)
    assert (kept["record_key"], kept["commitment"]) == ("00" * 32, "11" * 32)
    assert is_sealed_by_its_key(made)
    assert not is_sealed_by_its_key(made | {"decided_at": made["decided_at"] + timedelta(seconds=1)})
    verified = verify_log(open_log(settings))
    assert (verified.decisions, verified.entries) == (2, 2)
