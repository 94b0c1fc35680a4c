"""A catalogue that changes under a running server: its rules apply at once, and the model keeps deciding."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from starlette.testclient import TestClient

from features.catalogue import load_catalogue
from features.settings import Settings
from serving.http.app import create_app

type Sections = dict[str, Any]

MAIL = {"customer_id": "C-1", "touchpoint": "weekly-mail"}
NEVER = 3_600.0


def message(offer: str, channel: str) -> dict[str, Any]:
    return {"creative": "plain", "channel": channel, "content": {"headline": offer, "body": "See you soon"}}


def a_new_attribute(sections: Sections) -> None:
    sections["customer_attributes"]["visits"] = {"kind": "number"}


def an_attribute_less(sections: Sections) -> None:
    del sections["customer_attributes"]["region"]


def a_word_more_in_front(sections: Sections) -> None:
    sections["customer_attributes"]["age"] = {"kind": "category", "values": ["old", "young"]}
    sections["offers"].get("ten-percent", {}).pop("eligibility", None)


def a_new_offer_attribute(sections: Sections) -> None:
    sections["offer_attributes"]["warmth"] = {"kind": "category", "values": ["hot", "cold"]}


def an_offer_attribute_less(sections: Sections) -> None:
    sections["offer_attributes"].pop("difficulty", None)
    for offer in sections["offers"].values():
        offer.get("attributes", {}).pop("difficulty", None)


def a_new_channel(sections: Sections) -> None:
    sections["channels"]["sms"] = {"cost": 0.05}
    sections["touchpoints"]["weekly-mail"]["channels"].append("sms")
    sections["offers"]["double-stamps"]["creatives"].append(message("double-stamps", "sms"))


def a_channel_less(sections: Sections) -> None:
    del sections["channels"]["email"]
    sections["touchpoints"]["weekly-mail"]["channels"].remove("email")
    for offer in sections["offers"].values():
        offer["creatives"] = [one for one in offer["creatives"] if one["channel"] != "email"]


def a_new_offer_of_a_new_kind(sections: Sections) -> None:
    sections["offer_kinds"].append("lottery")
    sections["offers"]["lucky-draw"] = {
        "goal": "loyalty", "kind": "lottery", "value": 1.0, "creatives": [message("lucky-draw", "push")],
    }  # fmt: skip


def an_offer_less(sections: Sections) -> None:
    del sections["offers"]["ten-percent"]


def a_creative_less(sections: Sections) -> None:
    creatives = sections["offers"]["free-coffee"]["creatives"]
    sections["offers"]["free-coffee"]["creatives"] = creatives[1:] or creatives  # an offer has at least one creative


def a_new_creative(sections: Sections) -> None:
    sections["offers"]["free-coffee"]["creatives"].append({**message("free-coffee", "push"), "creative": "warm"})


def a_new_stage(sections: Sections) -> None:
    rule = {"fact": "purchase_count_365d", "at_least": 1}
    sections["stages"].insert(-1, {"stage": "cooling", "goal": "loyalty", "entry": rule})


def a_stage_less(sections: Sections) -> None:
    sections["stages"] = [one for one in sections["stages"] if one["stage"] != "new"]
    sections["offers"]["free-coffee"]["stages"] = ["active"]


def a_new_event_type(sections: Sections) -> None:
    sections["event_types"].append("visit")


def a_new_experiment(sections: Sections) -> None:
    arms = {"a": {"share": 0.5}, "b": {"share": 0.5, "policy": "random"}}
    about = {"salt": "s", "control": "a", "exposure": "delivered", "primary": "net_revenue"}
    sections["experiments"] = {"second": {**about, "touchpoints": ["app-home"], "arms": arms}}


def another_measure_to_learn(sections: Sections) -> None:
    sections["learning"] = {"measure": "clicked", "window_days": 7}


def a_cap(sections: Sections) -> None:
    sections["contact_policy"] = {"caps": {"week": {"scope": "everything", "limit": 50, "window_days": 7}}}


EDITS = (
    a_new_attribute, an_attribute_less, a_word_more_in_front, a_new_offer_attribute, an_offer_attribute_less,
    a_new_channel, a_channel_less, a_new_offer_of_a_new_kind, an_offer_less, a_creative_less, a_new_creative,
    a_new_stage, a_stage_less, a_new_event_type, a_new_experiment, another_measure_to_learn, a_cap,
)  # fmt: skip
"""Each makes one change to any catalogue; they are applied in this order, so any subset is possible."""


class Shelf:
    """A server's catalogue that tests edit, and a server that reloads it only on request."""

    def __init__(self, settings: Settings, client: TestClient) -> None:
        self.settings, self.client = settings, client
        path = settings.catalogue_path
        self.original: Sections = {}
        for file in sorted(path.glob("*.yaml")):
            self.original |= yaml.safe_load(file.read_text())
            file.unlink()
        self.original |= {"holdout": None, "experiments": {}, "exploration": {"epsilon": 0.0, "min_probability": 0.0}}
        self.put()

    def put(self, *edits: Callable[[Sections], None]) -> None:
        sections = deepcopy(self.original)
        for edit in edits:
            edit(sections)
        text = yaml.safe_dump({name: value for name, value in sections.items() if value is not None})
        (self.settings.catalogue_path / "catalogue.yaml").write_text(text)
        self.look()

    def look(self) -> None:
        self.client.app.state.engine.refresher.refresh()  # pyright: ignore[reportAttributeAccessIssue,reportFunctionMemberAccess]

    def ask(self, **changes: Any) -> dict[str, Any]:
        return self.client.post("/v1/decisions", json={**MAIL, **changes}).json()

    def ready(self) -> dict[str, Any]:
        return self.client.get("/readyz").json()


@pytest.fixture
def shelf(settings: Settings, registry: Any, clock: Any, customer: str) -> Iterator[Shelf]:
    app = create_app(settings, fetch_model=registry.fetch, now=clock, refresh_every_s=NEVER)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Shelf(settings, client)


def worth(answer: dict[str, Any]) -> dict[str, float]:
    """Uplift of each permitted message."""
    return {
        one["message"]: one["uplift"]["amount"]
        for one in answer["explanation"]["evaluated"]
        if one["uplift"] is not None and one["message"] != "silence"
    }


@examples(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # each example reloads a server: shrinking would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(paths=st.lists(st.sets(st.sampled_from(range(len(EDITS))), max_size=6), min_size=1, max_size=4))
def test_additions_and_removals_apply_at_once_and_the_model_keeps_deciding(shelf: Shelf, paths: list[set[int]]) -> None:
    first = shelf.ask(dry_run=True, explain=True)
    for path in paths:
        edits = [EDITS[place] for place in sorted(path)]
        shelf.put(*edits)

        catalogue, ready = load_catalogue(shelf.settings.catalogue_path), shelf.ready()
        assert (ready["status"], ready["checks"]["catalogue"]["version"]) == ("ready", catalogue.version)
        assert (ready["checks"]["model"]["version"], ready["checks"]["model"]["problem"]) == ("7", None)
        answer = shelf.ask(dry_run=True, explain=True)
        assert (answer["degraded_reasons"], answer["reason"], answer["action"]) == ([], "MODEL", "send")
        assert answer["model"] == {"version": "7", "measure": "net_revenue"}
        assert answer["selected"]["expected_value"]["currency"] == "EUR"
        seen = {one["message"] for part in ("evaluated", "excluded") for one in answer["explanation"][part]}
        assert seen - {"silence"} == {
            f"{one.offer_id}/{one.channel_id}/{one.creative_id}"
            for one in catalogue.creatives
            if one.channel_id in catalogue.touchpoints["weekly-mail"].channels
        }

    shelf.put()
    assert shelf.ready()["checks"]["catalogue"]["waits_for"] == []
    assert worth(shelf.ask(dry_run=True, explain=True)) == worth(first)


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_after_each_change_and_a_restart_the_model_still_decides(
    shelf: Shelf, registry: Any, clock: Any, edit: Callable[[Sections], None]
) -> None:
    shelf.put(edit)
    running = shelf.ask(dry_run=True, explain=True)

    with TestClient(create_app(shelf.settings, fetch_model=registry.fetch, now=clock)) as client:
        started = client.post("/v1/decisions", json={**MAIL, "dry_run": True, "explain": True}).json()

    assert (started["reason"], started["degraded"]) == ("MODEL", False)
    assert worth(started) == worth(running)


def test_readiness_and_metrics_say_that_a_new_attribute_needs_a_new_model(shelf: Shelf) -> None:
    shelf.put(a_new_attribute)

    [words] = shelf.ready()["checks"]["catalogue"]["waits_for"]
    assert words.startswith("model 7 does not know attribute_visits: run `nextbest model train`")
    numbers = shelf.client.get("/metrics").text
    assert 'nextbest_catalogue_waits{waits_for="model"} 1.0' in numbers
    assert 'nextbest_catalogue_waits{waits_for="features"} 0.0' in numbers


@pytest.mark.parametrize("rule", [{"fact": "visit_count_30d", "at_least": 0},
                                  {"not": {"fact": "visit_count_30d", "at_least": 1}}])  # fmt: skip
def test_a_rule_over_a_feature_that_is_not_built_yet_never_holds(
    shelf: Shelf, store: Any, new_customer: Callable[..., Any], rule: dict[str, Any]
) -> None:
    def visitors_only(sections: Sections) -> None:
        a_new_event_type(sections)
        sections["offers"]["double-stamps"]["eligibility"] = rule

    shelf.put(visitors_only)
    before = {one["message"]: one for one in shelf.ask(explain=True)["explanation"]["excluded"]}
    assert "NOT_ELIGIBLE" in before["double-stamps/push/plain"]["reasons"]

    store.catalogue = load_catalogue(shelf.settings.catalogue_path)
    store.put(new_customer("C-1"), features={"visit_count_30d": 0.0})

    assert "double-stamps/push/plain" in worth(shelf.ask(explain=True))


def test_a_stage_rule_over_a_feature_that_is_not_built_yet_moves_nobody_into_the_next_stage(shelf: Shelf) -> None:
    def visitors_first(sections: Sections) -> None:
        a_new_event_type(sections)
        rule = {"fact": "visit_count_30d", "at_least": 1}
        sections["stages"].insert(0, {"stage": "visitor", "goal": "loyalty", "entry": rule})

    shelf.put(visitors_first)

    assert shelf.ask()["stage"] is None


def test_reordered_attribute_values_are_missing_for_the_model_and_never_confused(
    shelf: Shelf, store: Any, new_customer: Callable[..., Any]
) -> None:
    def turned(sections: Sections) -> None:
        sections["customer_attributes"]["region"]["values"] = ["south", "north"]

    shelf.put(an_attribute_less)
    without = worth(shelf.ask(explain=True))
    shelf.put(turned)
    store.catalogue = load_catalogue(shelf.settings.catalogue_path)
    store.put(new_customer("C-1"), features={"attribute_region": 1.0})

    assert worth(shelf.ask(explain=True)) == without
    assert "does not know attribute_region" in str(shelf.ready()["checks"]["catalogue"]["waits_for"])


def test_a_new_learning_measure_does_not_change_the_predictions_of_the_model_in_force(shelf: Shelf) -> None:
    before = worth(shelf.ask(explain=True))
    shelf.put(another_measure_to_learn)

    answer = shelf.ask(explain=True)

    assert worth(answer) == before
    [words] = shelf.ready()["checks"]["catalogue"]["waits_for"]
    assert "model 7 predicts net_revenue, and the catalogue learns clicked" in words


def test_a_model_of_an_undeclared_measure_is_not_used(shelf: Shelf, registry: Any, clock: Any) -> None:
    def renamed(sections: Sections) -> None:
        sections["measures"]["revenue"] = sections["measures"].pop("net_revenue")
        sections["learning"]["measure"] = "revenue"

    shelf.put(renamed)

    assert shelf.ready()["checks"]["model"]["version"] is None
    assert "must predict a measure of the catalogue" in shelf.ready()["checks"]["model"]["problem"]
    assert shelf.ask()["degraded_reasons"] == ["model_unavailable"]


def test_decisions_under_an_earlier_catalogue_replay_unchanged(shelf: Shelf) -> None:
    from decisioning.record.document import replay
    from features.models.policy_archive import PolicyArchive

    shelf.put(a_new_attribute, another_measure_to_learn, a_new_stage)
    answer = shelf.ask()
    record = shelf.client.get(f"/v1/decisions/{answer['decision_id']}").json()

    policy = PolicyArchive(shelf.settings.catalogues_path).policy(answer["policy_version"])
    assert policy.unit == "money"  # pyright: ignore[reportAttributeAccessIssue]
    again = replay(policy, record)  # pyright: ignore[reportArgumentType]
    assert (again.message_key, again.action_probability) == (
        "/".join(str(answer["selected"][one]) for one in ("offer_id", "channel", "creative")),
        answer["action_probability"],
    )


def test_a_withdrawn_offer_a_new_cap_and_a_stricter_rule_apply_at_once_beside_a_new_attribute(
    shelf: Shelf, clock: Any
) -> None:
    def strict(sections: Sections) -> None:
        a_new_attribute(sections)
        an_offer_less(sections)
        sections["offers"]["double-stamps"]["eligibility"] = {"fact": "customer.age", "at_least": 65}
        sections["contact_policy"] = {"caps": {"week": {"scope": "everything", "limit": 1, "window_days": 7}}}

    shelf.put(strict)
    first = shelf.ask()
    clock.now += timedelta(hours=1)
    second = shelf.ask(explain=True)

    assert first["selected"]["offer_id"] == "free-coffee"
    assert second["selected"] is None or second["selected"]["offer_id"] == "opening-hours"
    reasons = {one["message"]: one["reasons"] for one in second["explanation"]["excluded"]}
    assert "CAP_REACHED" in reasons["free-coffee/push/plain"]
    assert not any(name.startswith("ten-percent") for name in reasons)


@pytest.mark.parametrize("case", ["live-and-templates"])
def test_two_new_attributes_and_offers_do_not_disable_the_model(shelf: Shelf, case: str) -> None:
    """Two more attributes and some offers once stopped all marketing."""

    def more(sections: Sections) -> None:
        for name, kind in (("has_loan", "flag"), ("points", "number")):
            sections["customer_attributes"][name] = {"kind": kind}
        sections["customer_attributes"]["segment"] = {"kind": "category", "values": ["vip", "basic"]}

    shelf.put(more)

    assert (shelf.ask()["reason"], shelf.ready()["status"]) == ("MODEL", "ready")
