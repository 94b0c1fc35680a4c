"""No catalogue size that the check accepts stalls the check or breaks a later step."""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from decisioning.catalogue.catalogue import Attribute, AttributeKind, Catalogue
from decisioning.catalogue.journey import JourneyStage
from decisioning.rules.predicate import ALWAYS, Compare, Comparison
from features.catalogue import examine_catalogue, load_catalogue
from features.catalogue.checks.findings import Proof
from features.catalogue.checks.references import MOST_STAGES
from features.computing.compute import compute_features
from features.log.contracts import UTC_TIME

SHOP = Path(__file__).parents[2] / "catalogues" / "shop"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
FACTS = ("purchase_sum_minor_30d", "customer_tenure_days", "purchase_count_90d", "browse_count_7d")
MOST_SECONDS = 20.0
"""Processor time; each of these tests takes one to three seconds."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHOP, tmp_path / "shop"))


class _Dumper(yaml.SafeDumper):
    """Writes YAML without aliases, because catalogues do not accept them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def amend(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    sections = yaml.safe_load(path.read_text())
    change(sections)
    path.write_text(yaml.dump(sections, Dumper=_Dumper, sort_keys=False))


def stages(count: int) -> list[dict[str, Any]]:
    """Stages that each take some of the customers left by the earlier ones; the last takes everybody."""
    rules = [
        [{"fact": FACTS[n % 4], "at_least": count - n}, {"fact": FACTS[n // 4 % 4], "less_than": 3 * (count - n)}]
        for n in range(count - 1)
    ]
    named = [{"stage": f"s{n}", "goal": "loyalty", "entry": {"all": rule}} for n, rule in enumerate(rules)]
    return [*named, {"stage": "rest", "goal": "loyalty"}]


def with_stages(folder: Path, found: list[dict[str, Any]]) -> None:
    amend(folder / "catalogue.yaml", lambda sections: sections.update(stages=found))
    amend(folder / "offers.yaml", lambda sections: [one.pop("stages", None) for one in sections["offers"].values()])


def test_the_maximum_number_of_stages_is_proven_in_seconds(folder: Path) -> None:
    with_stages(folder, stages(MOST_STAGES))
    started = time.process_time()
    assert examine_catalogue(folder, NOW).findings == ()
    assert time.process_time() - started < MOST_SECONDS


def test_too_many_stages_are_refused_with_the_maximum(folder: Path) -> None:
    with_stages(folder, stages(MOST_STAGES + 1))
    [finding] = examine_catalogue(folder, NOW).findings
    assert (finding.field, "at most 200 stages" in finding.found) == ("stages", True)
    assert "201" in finding.found


def test_a_stage_whose_first_example_belongs_to_another_stage_is_still_proven(folder: Path) -> None:
    """The example of the third stage is in the first stage, other customers are not; the fourth stage gets nobody."""
    found = [
        {"stage": "a", "goal": "loyalty", "entry": {"fact": "purchase_count_90d", "at_most": 2}},
        {"stage": "b", "goal": "loyalty", "entry": {"fact": "purchase_count_90d", "equals": 5}},
        {"stage": "c", "goal": "loyalty", "entry": {"fact": "purchase_count_90d", "at_least": 1}},
        {"stage": "d", "goal": "loyalty", "entry": {"fact": "purchase_count_90d", "at_least": 3}},
        {"stage": "rest", "goal": "loyalty"},
    ]
    with_stages(folder, found)
    findings = examine_catalogue(folder, NOW).findings
    assert [(one.proof, one.field) for one in findings] == [(Proof.STAGE_NOBODY_ENTERS, "stages[3]")]


@pytest.mark.parametrize("kind", ["offers", "creatives", "touchpoints", "experiments", "words"])
def test_large_catalogues_are_checked_in_seconds(folder: Path, kind: str) -> None:
    def more_offers(sections: dict[str, Any]) -> None:
        one = sections["offers"]["ten-percent"]
        if kind == "offers":
            sections["offers"] |= {f"o{n}": {**one, "stages": ["new", "lapsed"]} for n in range(400)}
        if kind == "creatives":
            one["creatives"] += [{**one["creatives"][0], "creative": f"c{n}"} for n in range(600)]
            one["eligibility"] = {"fact": "purchase_count_90d", "at_least": 1}
            one["stages"] = ["lapsed"]  # no customer there meets the rule, so every creative is checked

    def more(sections: dict[str, Any]) -> None:
        point, test = sections["touchpoints"]["weekly-mail"], sections["experiments"]["engine-vs-random"]
        if kind == "touchpoints":
            sections["touchpoints"] |= {f"t{n}": point for n in range(300)}
        if kind == "experiments":
            sections["experiments"] |= {f"e{n}": {**test, "salt": f"s{n}"} for n in range(300)}
        if kind == "words":
            words = ["north", "south", *(f"r{n}" for n in range(5_000))]
            sections["customer_attributes"]["region"]["values"] = words
            sections["stages"][0]["entry"] = {"fact": "customer.region", "one_of": words[2:]}

    amend(folder / "offers.yaml", more_offers)
    amend(folder / "catalogue.yaml", more)
    started = time.process_time()
    examination = examine_catalogue(folder, NOW)
    assert time.process_time() - started < MOST_SECONDS
    assert examination.catalogue is not None, examination.findings[:3]
    assert load_catalogue(folder).version == examination.catalogue.version


def test_features_are_built_for_the_maximum_number_of_stages_and_words(tables_of, shop_catalogue: Catalogue) -> None:
    """Nested expressions over so many stages or words would exceed the recursion limit."""
    words = tuple(f"r{n}" for n in range(3_000))
    region = Compare(fact="customer.region", comparison=Comparison.ONE_OF, value=words[:-1])
    rules = [Compare(fact="purchase_count_90d", comparison=Comparison.AT_LEAST, value=500 - n) for n in range(499)]
    made = [JourneyStage(stage_id=f"s{n}", goal_id="loyalty", entry=rule) for n, rule in enumerate([region, *rules])]
    catalogue = replace(
        shop_catalogue,
        stages=(*made, JourneyStage(stage_id="rest", goal_id="loyalty", entry=ALWAYS)),
        customer_attributes=(Attribute(name="region", kind=AttributeKind.CATEGORY, values=words),),
    )
    known = {"updated_at": datetime(2026, 1, 1, tzinfo=UTC), "joined_at": datetime(2025, 1, 1, tzinfo=UTC)}
    tables = tables_of(
        customers=[
            {"customer_id": "A", "attributes": '{"region": "r2998"}', **known},
            {"customer_id": "B", "attributes": '{"region": "r2999"}', **known},
        ],
        events=[{"customer_id": "B", "type": "purchase", "occurred_at": datetime(2026, 5, 1, tzinfo=UTC)}],
    )
    moment = datetime(2026, 6, 1, tzinfo=UTC)
    anchors = pl.DataFrame(
        {"customer_id": ["A", "B"], "at": [moment] * 2}, schema={"customer_id": pl.String, "at": UTC_TIME}
    )
    found = compute_features(tables, anchors, catalogue).select("customer_id", "stage_index").rows()
    assert dict(found) == {"A": 0.0, "B": 500.0}
