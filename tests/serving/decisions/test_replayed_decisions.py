"""Decisions of the server are replayed, audited and verified from its log, whatever path made them."""

from typing import Any

import orjson
import pytest
import redis
from starlette.testclient import TestClient

from features.chain.audit_chain import open_log
from features.chain.chain_verification import verify_log
from features.models.logged_decisions import LoggedDecisions
from features.settings import Settings
from pipelines.audit.audit import AuditPlan, audit_policy
from pipelines.audit.replay import ReplayPlan, replay_log
from serving.log.drain import drain_alone
from serving.log.spool import Spool

ASKS: list[dict[str, Any]] = [
    {"customer_id": "C-1", "touchpoint": "weekly-mail"},
    {"customer_id": "C-1", "touchpoint": "weekly-mail", "channels": ["push"], "exclude_offers": ["ten-percent"]},
    {"customer_id": "C-1", "touchpoint": "weekly-mail", "stage": "lapsed", "dedupe_key": "k"},
    {"customer_id": "C-1", "touchpoint": "weekly-mail", "placements": [{"placement": "top"}, {"placement": "side"}]},
    {"customer_id": "C-1", "touchpoint": "app-home", "context": {"basket_value": 12.5}},
    {"customer_id": "nobody", "touchpoint": "weekly-mail"},
    {"customer_id": "C-2", "touchpoint": "weekly-mail"},
]


@pytest.fixture
def answered(client: TestClient, customer: str, store: Any, new_customer: Any) -> int:
    store.put(new_customer("C-2", has_opted_out_of_profiling=True))
    assert customer == ASKS[0]["customer_id"]
    for place, ask in enumerate(ASKS):
        # fixed keys make the draws the same in every run, so that no audit fails by chance
        answer = client.post("/v1/decisions", json={"dedupe_key": f"ask-{place}", **ask})
        assert answer.status_code == 200, answer.text
    return len(ASKS)


def test_decisions_of_every_path_are_replayed_audited_and_verified(
    answered: int, settings: Settings, live_redis: redis.Redis
) -> None:
    log = open_log(settings)
    drain_alone(live_redis, log, settings.spool_path)
    logged = LoggedDecisions(settings)
    replayed = replay_log(log, logged, ReplayPlan())
    assert (replayed.same, replayed.changed, replayed.absent) == (answered, [], {})
    assert replayed.positions == 1
    assert audit_policy(log, logged, AuditPlan(draws=20)).passes
    verified = verify_log(log)
    assert (verified.decisions, verified.faults) == (answered + 1, ())


def test_spooled_decisions_are_chained_like_any_other(
    answered: int, settings: Settings, live_redis: redis.Redis
) -> None:
    """Decisions that Redis could not take wait on disk; here the rows of the stream are moved there."""
    spool = Spool(settings.spool_path)
    for key in live_redis.scan_iter("nb:{*}:log"):
        for entry, fields in live_redis.xrange(key):
            spool.append(fields[b"table"].decode(), orjson.loads(fields[b"row"]))
            live_redis.xdel(key, entry)
    log = open_log(settings)
    assert drain_alone(live_redis, log, settings.spool_path).inserted == answered + 1
    assert verify_log(log).faults == ()
