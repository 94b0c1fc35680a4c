"""A valid catalogue becomes the core's types, and its version depends only on its content."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import MessageClass
from decisioning.rules.predicate import AllOf, AnyOf, Compare, Comparison, Not
from features.catalogue import catalogue_json_schema, catalogue_version, check_catalogue, load_catalogue
from features.catalogue.building.money import to_minor
from features.catalogue.forms.rule_form import RuleFile, to_predicate
from features.catalogue.reading.json_schema import fields_at, schema_text

ROOT = Path(__file__).parents[3]
SHOP = ROOT / "tests" / "catalogues" / "shop"
CATALOGUES = [SHOP, *sorted(ROOT.glob("examples/*/catalogue"))]


def in_order(catalogue: Catalogue) -> Catalogue:
    creatives = sorted(catalogue.creatives, key=lambda each: (each.offer_id, each.channel_id, each.creative_id))
    return replace(catalogue, creatives=tuple(creatives), version="")


def test_the_shop_files_equal_the_shop_in_code(shop_catalogue: Catalogue) -> None:
    loaded = load_catalogue(SHOP)
    assert replace(loaded, version="") == in_order(shop_catalogue)
    assert loaded.version == catalogue_version(in_order(shop_catalogue))


@pytest.fixture
def shop_folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHOP, tmp_path / "shop"))


def test_the_version_ignores_comments_file_names_and_order(shop_folder: Path) -> None:
    version = load_catalogue(shop_folder).version
    text = (shop_folder / "offers.yaml").read_text(encoding="utf-8")
    head, *offers = text.split("\n  ")
    parts = "\n  ".join(offers).split("\n  ten-percent:")
    (shop_folder / "offers.yaml").unlink()
    (shop_folder / "a-later-half.yml").write_text(f"# moved\noffers:\n  ten-percent:{parts[1]}", encoding="utf-8")
    (shop_folder / "z-first-half.yaml").write_text(f"{head}\n  {parts[0]}\n", encoding="utf-8")
    assert load_catalogue(shop_folder).version == version


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("cost: 0.01", "cost: 0.02"),
        ("salt: evr-1", "salt: evr-2"),
        ("values: [north, south]", "values: [south, north]"),
        ("less_than: 30", "less_than: 31"),
        ("offer_kinds: [points, gift", "offer_kinds: [gift, points"),
    ],
)
def test_the_version_changes_with_everything_that_affects_decisions(shop_folder: Path, old: str, new: str) -> None:
    version = load_catalogue(shop_folder).version
    path = shop_folder / "catalogue.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    assert load_catalogue(shop_folder).version != version


def test_a_default_written_out_changes_nothing(shop_folder: Path) -> None:
    version = load_catalogue(shop_folder).version
    path = shop_folder / "offers.yaml"
    text = path.read_text(encoding="utf-8").replace(
        "    kind: gift", "    kind: gift\n    purpose: marketing\n    urgency: 0"
    )
    path.write_text(text, encoding="utf-8")
    assert load_catalogue(shop_folder).version == version


def test_money_is_in_major_units_in_files_and_in_minor_units_in_the_core() -> None:
    catalogue = load_catalogue(SHOP)
    assert catalogue.offers["free-coffee"].value_minor == 150
    assert catalogue.channels["push"].cost_minor == 0.5
    assert catalogue.measures["net_revenue"].cap_minor == 10_000


@pytest.mark.parametrize(("currency", "minor"), [("EUR", 123.4), ("JPY", 1.234), ("KWD", 1234.0)])
def test_minor_units_follow_the_currency(currency: str, minor: float) -> None:
    assert to_minor(1.234, currency) == minor


@given(cents=st.integers(0, 10**11))
@settings(max_examples=200)
def test_decimal_amounts_keep_their_cents(cents: int) -> None:
    assert to_minor(cents / 100, "EUR") == cents


def test_each_class_has_the_matching_purpose(shop_folder: Path) -> None:
    offers = "offers:\n" + "".join(
        f"  {name}-x:\n    goal: care\n    kind: information\n    class: {name}\n"
        "    creatives: [{creative: a, channel: email, content: {headline: b}}]\n"
        for name in MessageClass
    )
    (shop_folder / "more.yaml").write_text(offers, encoding="utf-8")
    found = load_catalogue(shop_folder).offers
    assert {name: found[f"{name}-x"].purpose for name in MessageClass} == {
        "mandatory": None,
        "transactional": None,
        "recovery": "service",
        "service": "service",
        "marketing": "marketing",
    }


def test_dates_are_utc_and_times_keep_their_zone(shop_folder: Path) -> None:
    path = shop_folder / "offers.yaml"
    dates = "    kind: gift\n    valid_from: 2026-01-01\n    valid_until: 2026-07-01T09:00:00+02:00"
    path.write_text(path.read_text(encoding="utf-8").replace("    kind: gift", dates), encoding="utf-8")
    offer = load_catalogue(shop_folder).offers["free-coffee"]
    assert offer.valid_from == datetime(2026, 1, 1, tzinfo=UTC)
    assert offer.valid_until == datetime(2026, 7, 1, 7, tzinfo=UTC)


def test_rules_of_every_form_become_predicates() -> None:
    rule = RuleFile.model_validate_json(
        '{"all": [{"fact": "a", "at_least": 1, "less_than": 3}, {"not": {"fact": "b", "is_missing": true}},'
        ' {"any": [{"fact": "c", "one_of": ["x", 2]}]}]}'
    )
    assert to_predicate(rule) == AllOf(
        parts=(
            AllOf(
                parts=(
                    Compare(fact="a", comparison=Comparison.AT_LEAST, value=1),
                    Compare(fact="a", comparison=Comparison.LESS_THAN, value=3),
                )
            ),
            Not(part=Compare(fact="b", comparison=Comparison.IS_MISSING, value=True)),
            AnyOf(parts=(Compare(fact="c", comparison=Comparison.ONE_OF, value=("x", 2)),)),
        )
    )


@pytest.mark.parametrize("folder", CATALOGUES, ids=lambda folder: folder.parent.name)
def test_every_catalogue_in_the_project_is_valid(folder: Path) -> None:
    assert check_catalogue(folder) == []


@pytest.mark.parametrize("folder", CATALOGUES, ids=lambda folder: folder.parent.name)
def test_the_first_line_leads_editors_to_the_schema(folder: Path) -> None:
    for path in folder.glob("*.yaml"):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        name = first.removeprefix("# yaml-language-server: $schema=")
        assert (path.parent / name).resolve() == ROOT / "docs" / "schemas" / "catalogue.schema.json"


def test_the_schema_in_the_docs_matches_the_code() -> None:
    written = (ROOT / "docs" / "schemas" / "catalogue.schema.json").read_text(encoding="utf-8")
    assert written == schema_text(), "run: nextbest catalogue schema --out docs/schemas/catalogue.schema.json"


def test_the_schema_describes_every_field() -> None:
    schema = catalogue_json_schema()
    offer = schema["$defs"]["OfferFile"]
    assert {"class", "goal", "kind", "creatives", "eligibility"} <= set(offer["properties"])
    assert offer["additionalProperties"] is False
    assert all("description" in field for field in offer["properties"].values())
    assert "required" not in schema
    json.dumps(schema)


def test_the_schema_names_the_fields_at_a_place() -> None:
    assert "channel" in fields_at(("offers", "any", "creatives", 0))
    assert {"fact", "all", "not", "at_least"} <= fields_at(("stages", 2, "entry", "all", 0, "not"))
    assert fields_at(("offers", "any", "attributes")) == frozenset()


@given(text=st.text(max_size=200))
@settings(max_examples=150, deadline=None)
def test_no_text_crashes_the_check(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "any.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    assert check_catalogue(folder)


@given(content=st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_no_bytes_crash_the_check(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "any.yaml").write_bytes(content)
    assert check_catalogue(folder)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**20) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abgoalkindfct_", max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    section=st.sampled_from(sorted(catalogue_json_schema()["properties"])),
    value=VALUES,
)
@settings(max_examples=120, deadline=None)
def test_no_values_crash_the_check(tmp_path_factory: pytest.TempPathFactory, section: str, value: object) -> None:
    folder = Path(shutil.copytree(SHOP, tmp_path_factory.mktemp("any") / "shop"))
    (folder / "any.yaml").write_text(json.dumps({section: value}), encoding="utf-8")
    for problem in check_catalogue(folder):
        assert str(problem)
