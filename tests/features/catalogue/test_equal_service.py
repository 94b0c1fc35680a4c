"""Only marketing may depend on a customer's value."""

from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest

from features.catalogue import check_catalogue

SHOP = Path(__file__).parents[2] / "catalogues" / "shop"
OPENING_HOURS = "  opening-hours:\n    goal: care\n"
type Change = Callable[[dict[str, tuple[str, str]]], list[str]]


@pytest.fixture
def problems_after(tmp_path: Path) -> Change:
    def change(changes: dict[str, tuple[str, str]]) -> list[str]:
        folder = Path(copytree(SHOP, tmp_path / "shop", dirs_exist_ok=True))
        for file, (old, new) in changes.items():
            text = (folder / file).read_text(encoding="utf-8")
            assert old in text
            (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")
        return [str(problem) for problem in check_catalogue(folder)]

    return change


@pytest.mark.parametrize(
    "rule",
    [
        "eligibility: {fact: purchase_sum_minor_365d, at_least: 100000}",
        "applicability: {not: {fact: purchase_mean_minor_365d, less_than: 10}}",
        "suitability: {all: [{fact: complaint_count_90d, at_least: 1}, {fact: purchase_max_minor_365d, at_least: 5}]}",
    ],
)
def test_service_must_not_depend_on_what_a_customer_spends(problems_after: Change, rule: str) -> None:
    (told,) = problems_after({"offers.yaml": (OPENING_HOURS, f"{OPENING_HOURS}    {rule}\n")})
    assert "must not ask what the customer is worth" in told
    assert "offers.opening-hours" in told


def test_service_must_not_depend_on_an_attribute_that_reveals_value(problems_after: Change) -> None:
    asking = (OPENING_HOURS, f"{OPENING_HOURS}    eligibility: {{fact: customer.region, equals: north}}\n")
    assert problems_after({"offers.yaml": asking}) == []
    telling = ("values: [north, south]", "values: [north, south], tells_value: true")
    (told,) = problems_after({"offers.yaml": asking, "catalogue.yaml": telling})
    assert "got 'customer.region'" in told


def test_service_must_not_depend_on_a_stage_defined_by_spend(problems_after: Change) -> None:
    for_active = (OPENING_HOURS, f"{OPENING_HOURS}    stages: [active]\n")
    assert problems_after({"offers.yaml": for_active}) == []
    by_spending = ("{fact: purchase_count_90d, at_least: 1}", "{fact: purchase_sum_minor_90d, at_least: 5000}")
    (told,) = problems_after({"offers.yaml": for_active, "catalogue.yaml": by_spending})
    assert "offers.opening-hours.stages[0]" in told
    assert "'active'" in told


def test_creatives_of_service_must_not_depend_on_value_either(problems_after: Change) -> None:
    old = f"{OPENING_HOURS}    kind: information\n    class: service\n    value: 0.10\n"
    old += "    attributes: {difficulty: 0}\n    creatives:\n      - creative: plain\n        channel: email\n"
    worded = (old, f"{old}        eligibility: {{fact: purchase_sum_minor_30d, at_least: 1}}\n")
    (told,) = problems_after({"offers.yaml": worded})
    assert "creatives" in told


def test_marketing_may_depend_on_value(problems_after: Change) -> None:
    old = "  ten-percent:\n"
    selling = (old, f"{old}    suitability: {{fact: purchase_sum_minor_365d, at_least: 1}}\n")
    assert problems_after({"offers.yaml": selling}) == []
