"""Once a visitor is identified, both ids are one person: one arm, one book, and a refusal under either id counts."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import orjson
import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from starlette.testclient import TestClient

from decisioning.customer import Customer
from decisioning.gates.assignment import Assigner, Who
from decisioning.policy import decide
from decisioning.record.document import decision_from_record
from features.catalogue import load_catalogue
from features.chain.audit_chain import open_log
from features.log.contracts import DECISIONS
from features.log.event_log import EventLog
from features.online.redis_keys import live_key
from features.settings import Settings
from pipelines.batch.run import BatchPlan, decide_audience
from pipelines.server.restore import restore
from serving.in_force.policy_in_force import put_in_force
from serving.log.drain import drain_alone

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
TESTS = """
holdout: {share: 0.3, salt: joined-holdout}
experiments:
  colours:
    salt: joined-colours
    exposure: decided
    control: engine
    primary: net_revenue
    arms: {engine: {share: 0.5}, rules: {share: 0.5, policy: rules}}
touchpoints:
  weekly-mail: {channels: [email, push], permit: required, reserve_hours: 24}
  app-home: {channels: [push], context: {basket_value: number}}
"""
_NUMBERS = count()


class Shop:
    """A server with an experiment, a holdout and customers."""

    def __init__(
        self, client: TestClient, store: Any, new_customer: Callable[..., Customer], settings: Settings
    ) -> None:
        self.client, self._store, self._new = client, store, new_customer
        catalogue = load_catalogue(settings.catalogue_path)
        self._assigner = Assigner(catalogue.experiments, catalogue.holdout)

    def cell(self, who: str) -> str:
        found = self._assigner.assign(Who(customer_id=who), touchpoint_id="weekly-mail", now=NOW)
        return "held-out" if found.is_held_out else found.arms["colours"]

    def anybody(self, cell: str) -> str:
        who = next(name for name in (f"P-{next(_NUMBERS)}" for _ in range(10_000)) if self.cell(name) == cell)
        self._store.put(self._new(who))
        return who

    def ask(self, who: str) -> dict[str, Any]:
        body = {"customer_id": who, "touchpoint": "weekly-mail", "dedupe_key": f"k-{next(_NUMBERS)}", "explain": True}
        answer = self.client.post("/v1/decisions", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def cell_told(self, who: str) -> str:
        answer = self.ask(who)
        return "held-out" if answer["held_out"] else answer["experiments"][0]["arm"]

    def tell(self, event_type: str, who: str, at: datetime = NOW, **properties: Any) -> None:
        item = {
            "message_id": f"m-{next(_NUMBERS)}",
            "customer_id": who,
            "type": event_type,
            "occurred_at": at.isoformat(),
            "properties": properties,
        }
        assert self.client.post("/v1/events", json={"events": [item]}).json()["accepted"] == 1

    def join(self, visitor: str, who: str) -> None:
        self.tell("identified", who, anonymous_id=visitor)

    def reasons(self, who: str, message: str = "ten-percent/email/plain") -> list[str]:
        excluded = self.ask(who)["explanation"]["excluded"]
        return next((one["reasons"] for one in excluded if one["message"] == message), [])


@pytest.fixture
def shop(
    serve: Callable[..., TestClient], store: Any, new_customer: Callable[..., Customer], settings: Settings
) -> Shop:
    return Shop(serve(TESTS), store, new_customer, settings)


@pytest.mark.parametrize(("visitor", "customer"), [("engine", "rules"), ("held-out", "engine"), ("rules", "held-out")])
def test_the_customer_keeps_the_visitors_arm_if_the_visitor_was_exposed_first(
    shop: Shop, clock: Any, visitor: str, customer: str
) -> None:
    one, other = shop.anybody(visitor), shop.anybody(customer)
    assert shop.cell_told(one) == visitor
    clock.now += timedelta(hours=1)
    assert shop.cell_told(other) == customer

    shop.join(one, other)

    assert {shop.cell_told(one), shop.cell_told(other)} == {visitor}


def test_the_customer_keeps_their_own_arm_if_they_were_exposed_first(shop: Shop, clock: Any) -> None:
    one, other = shop.anybody("engine"), shop.anybody("rules")
    shop.ask(other)
    clock.now += timedelta(hours=1)
    shop.ask(one)
    shop.join(one, other)

    assert {shop.cell_told(one), shop.cell_told(other)} == {"rules"}


STEPS = ("visitor asks", "customer asks", "joined", "visitor refuses", "customer agrees")


@given(order=st.permutations(STEPS))
@examples(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_in_any_order_both_ids_get_the_arm_of_the_first_exposure_and_the_refusal(
    shop: Shop, clock: Any, order: Sequence[str]
) -> None:
    visitor, customer = shop.anybody("engine"), shop.anybody("rules")
    for step in order:
        clock.now += timedelta(minutes=1)
        match step:
            case "visitor asks":
                shop.ask(visitor)
            case "customer asks":
                shop.ask(customer)
            case "joined":
                shop.join(visitor, customer)
            case "visitor refuses":
                shop.tell("consent_withdrawn", visitor, clock.now, channel="email", purpose="marketing")
            case _:
                shop.tell("consent_given", customer, clock.now, channel="email", purpose="marketing")
    clock.now += timedelta(minutes=1)
    places = {step: place for place, step in enumerate(order)}
    visitor_first = places["visitor asks"] < min(places["customer asks"], places["joined"])
    heard = max(places["visitor refuses"], places["joined"])  # a refusal counts for the customer once both are known
    for who in (visitor, customer):
        assert shop.cell_told(who) == ("engine" if visitor_first else "rules")
        assert ("NO_CONSENT" in shop.reasons(who)) is (heard > places["customer agrees"])


def test_a_refusal_a_protection_and_a_case_under_the_old_id_apply_to_the_customer_at_once(shop: Shop) -> None:
    visitor, customer = shop.anybody("engine"), shop.anybody("engine")
    shop.join(visitor, customer)

    shop.tell("consent_withdrawn", visitor, channel="email", purpose="marketing")
    shop.tell("protected", visitor, protection="vulnerable")
    shop.tell("case_opened", visitor, kind="outage", case_id="k-1")

    assert {"NO_CONSENT", "PROTECTED", "CASE_OPEN"} <= set(shop.reasons(customer))


def test_a_consent_under_the_old_id_permits_nothing_for_the_customer(shop: Shop, clock: Any) -> None:
    visitor, customer = shop.anybody("engine"), shop.anybody("engine")
    shop.tell("consent_withdrawn", customer, channel="email", purpose="marketing")
    shop.join(visitor, customer)
    clock.now += timedelta(hours=1)

    shop.tell("consent_given", visitor, clock.now, channel="email", purpose="marketing")

    assert "NO_CONSENT" in shop.reasons(customer)


def test_an_outcome_of_a_decision_for_the_visitor_reaches_the_customer(shop: Shop) -> None:
    visitor, customer = shop.anybody("engine"), shop.anybody("engine")
    decision = shop.ask(visitor)
    decision_id = decision["decision_id"]
    shop.join(visitor, customer)
    item = {"message_id": f"o-{decision_id}", "decision_id": decision_id, "type": "unsubscribed",
            "occurred_at": NOW.isoformat()}  # fmt: skip

    assert shop.client.post("/v1/outcomes", json={"outcomes": [item]}).json()["accepted"] == 1

    assert "NO_CONSENT" in shop.reasons(customer, f"ten-percent/{decision['selected']['channel']}/plain")


def test_a_permit_for_a_decision_about_the_visitor_respects_the_customers_refusal(shop: Shop) -> None:
    visitor, customer = shop.anybody("engine"), shop.anybody("engine")
    decision = shop.ask(visitor)
    assert decision["action"] == "send"
    shop.join(visitor, customer)
    shop.tell("consent_withdrawn", customer, channel=decision["selected"]["channel"], purpose="marketing")

    answer = shop.client.post(f"/v1/decisions/{decision['decision_id']}/permit").json()

    assert (answer["permit"], answer["reasons"]) == ("denied", ["NO_CONSENT"])


def test_an_ask_about_the_visitor_is_answered_for_the_customer_and_its_record_replays(
    shop: Shop, settings: Settings
) -> None:
    visitor, customer = shop.anybody("engine"), shop.anybody("rules")
    shop.ask(visitor)
    shop.join(visitor, customer)

    answer = shop.ask(visitor)

    record = shop.client.get(f"/v1/decisions/{answer['decision_id']}").json()
    assert record["customer_id"] == customer
    assert visitor not in orjson.dumps(record).decode(), "a record names no other person, so erasure leaves it whole"
    decision = decision_from_record(record)
    policy = put_in_force(load_catalogue(settings.catalogue_path), seed=settings.policy_seed).policy
    again = decide(policy, decision.inputs, decision.decision_id)
    assert (again.arms, again.action_probability) == (decision.arms, decision.action_probability)
    assert decision.arms == {"colours": "engine"}


def test_a_batch_puts_both_ids_into_the_same_arm_as_real_time(shop: Shop, settings: Settings, tmp_path: Any) -> None:
    visitor, customer = shop.anybody("engine"), shop.anybody("rules")
    shop.ask(visitor)
    shop.join(visitor, customer)
    audience = tmp_path / "audience.csv"
    audience.write_text(f"customer_id\n{visitor}\n{customer}\n")
    plan = BatchPlan(touchpoint_id="weekly-mail", audience=audience, out=tmp_path / "out.csv", now=NOW,
                     allows_no_model=True)  # fmt: skip

    decide_audience(plan, settings, redis_url=str(settings.redis_url), model=None)

    log = open_log(settings)
    with redis.Redis.from_url(str(settings.redis_url)) as client:
        drain_alone(client, log, settings.spool_path, wait_seconds=5)
    rows = log.read(DECISIONS).filter(log.read(DECISIONS)["customer_id"] == customer)
    assert rows["arms"].to_list() == ['{"colours":"engine"}'] * 2


def test_a_restore_brings_back_identities_and_the_first_exposure(
    shop: Shop, settings: Settings, live_redis: redis.Redis, clock: Any
) -> None:
    visitor, customer = shop.anybody("engine"), shop.anybody("rules")
    shop.ask(visitor)
    shop.join(visitor, customer)
    clock.now += timedelta(hours=1)
    shop.tell("consent_withdrawn", visitor, clock.now, channel="email", purpose="marketing")
    kept = live_redis.hgetall(live_key(customer))
    with redis.Redis.from_url(str(settings.redis_url)) as client:
        drain_alone(client, open_log(settings), settings.spool_path, wait_seconds=5)
    live_redis.delete(live_key(visitor), live_key(customer))

    restore(settings, str(settings.redis_url), now=clock.now)

    assert live_redis.hgetall(live_key(customer)) == kept
    assert {shop.cell_told(visitor), shop.cell_told(customer)} == {"engine"}


@pytest.mark.parametrize("erased_is_visitor", [True, False])
def test_erasing_either_id_leaves_it_nowhere(
    shop: Shop, settings: Settings, live_redis: redis.Redis, erased_is_visitor: bool
) -> None:
    visitor, customer = shop.anybody("engine"), shop.anybody("rules")
    shop.ask(visitor)
    shop.join(visitor, customer)
    shop.ask(visitor)
    gone, stays = (visitor, customer) if erased_is_visitor else (customer, visitor)

    assert shop.client.delete(f"/v1/customers/{gone}").status_code == 200

    assert not [key for key in live_redis.keys("*") if gone.encode() in key]
    assert gone.encode() not in b" ".join(part for pair in live_redis.hgetall(live_key(stays)).items() for part in pair)
    assert shop.ask(stays)["action"] in {"send", "hold"}
    assert not EventLog(settings.log_path).read(DECISIONS).filter(
        EventLog(settings.log_path).read(DECISIONS)["customer_id"] == gone
    ).height  # fmt: skip
