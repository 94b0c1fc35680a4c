"""Measures of several sides: read from the files, part of the version, and told apart by their definition."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.measure import Engagement, Returns
from features.catalogue import load_catalogue
from features.catalogue.version import measure_definition

SHOP = Path(__file__).parents[2] / "catalogues" / "shop"

SIDES = """
engagement: {machine_weight: 0.2, scanned_channels: [email]}
measures:
  kept_revenue: {unit: money, add: [purchase], returns: {window_days: 30, events: [return]}}
  harm: {unit: money, outcomes: [unsubscribed], worth: {unsubscribed: 8.00}, window_days: 30}
  calls: {unit: money, add: [call_note], worth: {call_note: 6.50}, window_days: 14}
  read: {unit: rate, outcomes: [viewed]}
  whole: {unit: money, parts: {kept_revenue: 1.0, harm: -1.0, calls: -1.0}}
"""


@pytest.fixture
def made(tmp_path: Path):
    def call(text: str) -> Catalogue:
        folder = tmp_path / "catalogue"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(SHOP, folder)
        (folder / "sides.yaml").write_text(text, encoding="utf-8")
        return load_catalogue(folder)

    return call


def test_parts_have_windows_worths_and_returns_of_their_own_in_minor_units(made):
    found = made(SIDES).measures
    assert [(part.measure.measure_id, part.times) for part in found["whole"].parts] == [
        ("calls", -1.0),
        ("harm", -1.0),
        ("kept_revenue", 1.0),
    ]
    assert found["kept_revenue"].returns == Returns(window_days=30, events=frozenset({"return"}))
    assert (found["harm"].outcome_worth_minor, found["harm"].window_days) == ({"unsubscribed": 800.0}, 30)
    assert found["calls"].event_worth_minor == {"call_note": 650.0}


def test_what_machines_count_for_is_known_to_every_measure_and_part_of_the_version(made):
    catalogue, other = made(SIDES), made(SIDES.replace("machine_weight: 0.2", "machine_weight: 0.3"))
    expected = Engagement(machine_weight=0.2, scanned_channels=frozenset({"email"}))
    assert catalogue.engagement == catalogue.measures["read"].engagement == expected
    assert catalogue.version != other.version


def test_a_catalogue_that_says_nothing_of_it_has_the_version_it_always_had():
    assert load_catalogue(SHOP).version == "b74d9adaa3ddc995"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("unsubscribed: 8.00", "unsubscribed: 9.00"),
        ("window_days: 14", "window_days: 15"),
        ("window_days: 30, events", "window_days: 31, events"),
        ("calls: -1.0", "calls: -2.0"),
        ("calls: -1.0}}", "calls: -1.0}, version: 2}"),
    ],
)
def test_a_change_of_any_part_is_another_definition_and_another_version(made, old: str, new: str):
    before, after = made(SIDES), made(SIDES.replace(old, new))
    assert measure_definition(before.measures["whole"]) != measure_definition(after.measures["whole"])
    assert before.version != after.version
    assert measure_definition(before.measures["net_revenue"]) == measure_definition(after.measures["net_revenue"])


def test_a_name_is_no_definition_and_machines_are_one_where_views_count(made):
    catalogue, other = made(SIDES), made(SIDES.replace("machine_weight: 0.2", "machine_weight: 0.3"))
    harm = catalogue.measures["harm"]
    assert measure_definition(replace(harm, measure_id="other")) == measure_definition(harm)
    assert measure_definition(other.measures["harm"]) == measure_definition(harm)
    assert measure_definition(other.measures["read"]) != measure_definition(catalogue.measures["read"])


def test_the_sum_in_the_docs_loads(made):
    page = (Path(__file__).parents[3] / "docs" / "models.md").read_text(encoding="utf-8")
    (block,) = [one for one in re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL) if "measures:" in one]
    assert len(made(block.replace("learning: ", "# ")).measures["net_value"].parts) == 3
