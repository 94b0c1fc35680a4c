"""The data plan finds what uses each datum, and lists unused data."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.catalogue import load_catalogue
from features.chain.audit_chain import open_log
from features.log.contracts import CUSTOMERS, EVENTS
from features.log.rows import frame_of, row_of
from features.privacy.data_plan import Datum, data_plan
from features.privacy.lineage import feature_lineage
from features.privacy.purposes import DataRules
from features.settings import Settings

NOW = datetime(2026, 11, 2, tzinfo=UTC).isoformat()
SHOP = Path(__file__).parents[2] / "catalogues" / "shop"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Datum]:
    log = open_log(Settings(home=tmp_path_factory.mktemp("home")))
    person = {"customer_id": "C-1", "updated_at": NOW, "attributes": '{"age": 3, "shoe_size": 44, "first_name": "A"}'}
    log.append(CUSTOMERS, frame_of(CUSTOMERS, [row_of(CUSTOMERS, person)]))
    event = {"customer_id": "C-1", "occurred_at": NOW, "properties": '{"page": "start", "text": "bad"}'}
    kinds = ("browse", "review", "consent_withdrawn", "weather")
    rows = [row_of(EVENTS, {**event, "event_id": kind, "type": kind}) for kind in kinds]
    log.append(EVENTS, frame_of(EVENTS, rows))
    rules = DataRules(purposes={"events.browse": "choose what to show"})
    found = data_plan(log, load_catalogue(SHOP), rules, importance={"attribute_age": 2.0, "browse_count_7d": 0.0})
    return {one.name: one for one in found}


def test_unused_data_are_listed(plan: dict[str, Datum]) -> None:
    unused = {name for name, one in plan.items() if not one.is_used}
    assert {"customers.attributes.shoe_size", "events.browse.page", "events.weather"} <= unused
    assert not unused & {"customers.attributes.age", "customers.attributes.first_name", "events.review.text"}
    assert not unused & {"events.browse", "customers.consents", "events.consent_withdrawn.page"}


def test_features_models_rules_and_creatives_that_use_a_datum_are_found(plan: dict[str, Datum]) -> None:
    age, name = plan["customers.attributes.age"], plan["customers.attributes.first_name"]
    assert (age.features, age.models) == (("attribute_age",), ("champion",))
    assert age.rules == ("offers.ten-percent.eligibility",)
    assert "free-coffee/email/plain" in name.templates
    assert plan["events.browse"].models == (), "a feature without importance does not count as use"
    assert "browse_count_7d" in plan["events.browse"].features
    assert plan["events.browse.page"].purpose == "choose what to show"
    assert plan["events.browse.page"].is_declared
    assert not age.is_declared


def test_lineage_follows_what_the_definitions_read() -> None:
    lineage = feature_lineage(load_catalogue(SHOP))
    assert "purchase_sum_minor_30d" in lineage["events.amount_minor"]
    assert "purchase_count_30d" not in lineage["events.amount_minor"]
    assert "purchase_count_30d" in lineage["events.purchase"]
    assert lineage["customers.attributes.region"] == ("attribute_region",)
    assert "message_clicked_rate_90d" in lineage["outcomes.clicked"]
    assert "accepted_recency_days" in lineage["outcomes.converted"]
    assert {"sentiment_mean_90d"} <= set(lineage["events.review.text"])
    assert "customers.household" not in lineage
