"""All problems in catalogue files are reported at once, with file, line, field, rule and a fix."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from decisioning.errors import InvalidInputError, InvalidPolicyError
from features.catalogue import check_catalogue, load_catalogue

SHOP = Path(__file__).parents[2] / "catalogues" / "shop"
type Change = Callable[..., list[str]]


@pytest.fixture
def shop_folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHOP, tmp_path / "shop"))


@pytest.fixture
def changed(shop_folder: Path) -> Change:
    """Replaces text in a copy of the shop's files and returns the problems found."""

    def change(old: str, new: str, file: str = "catalogue.yaml") -> list[str]:
        path = shop_folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return [str(problem) for problem in check_catalogue(shop_folder)]

    return change


MISTAKES = yaml.safe_load((SHOP.parent / "mistakes.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake["problem"].split(" ")[0])
def test_a_mistake_is_named_with_file_line_and_field(changed: Change, mistake: dict[str, str]) -> None:
    found = changed(mistake["old"], mistake["new"], mistake["file"])
    (told,) = [problem for problem in found if mistake["problem"] in problem]
    file, line, _rest = told.split(":", 2)
    assert file == mistake["file"]
    assert int(line) > 1


def test_a_problem_points_at_the_exact_line(changed: Change) -> None:
    line = SHOP.joinpath("offers.yaml").read_text(encoding="utf-8").splitlines().index("    kind: gift") + 1
    assert changed("kind: gift", "kind: gfit", "offers.yaml")[0].startswith(
        f"offers.yaml:{line}: offers.free-coffee.kind:"
    )


def test_all_problems_are_reported_at_once_and_in_order(shop_folder: Path, changed: Change) -> None:
    changed("goal: care", "goal: caer", "offers.yaml")
    changed("value: 1.50", "value: lots", "offers.yaml")
    changed("channels: [email, push]", "channels: [emial, push]")
    found = changed("cap: 100.00", "cap: none")
    assert len(found) == 4
    assert [problem.split(":")[0] for problem in found] == ["catalogue.yaml"] * 2 + ["offers.yaml"] * 2
    with pytest.raises(InvalidPolicyError) as refusal:
        load_catalogue(shop_folder)
    assert all(problem in str(refusal.value) for problem in found)


def test_an_invalid_section_causes_no_problems_elsewhere(changed: Change) -> None:
    found = changed("{share: 0.05, salt: holdout-1}", "{share: five}")
    assert {problem.split(": ")[1] for problem in found} == {"holdout.share", "holdout.salt"}


def test_an_invalid_attribute_is_reported_once_and_not_at_every_rule_that_uses_it(changed: Change) -> None:
    found = changed("  age: {kind: number}", "  age: {kind: nmber}")
    assert len(found) == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "extra.yaml:1: must hold at least one section, such as `offers:`, got an empty file"),
        (b"# only a comment\n", "extra.yaml:1: must hold at least one section"),
        (b"- a\n- b\n", "extra.yaml:1: must be a mapping of sections, such as `offers:`, got ['a', 'b']"),
        ("goals: {caf\u00e9: 1}".encode("latin-1"), "extra.yaml:1: must be text in UTF-8, got byte 0xe9"),
        ("goals:\n  a: 1\n".encode("utf-16"), "must be text in UTF-8, got byte 0xff"),
        (b"goals:\n\ta: 1\n", "extra.yaml:2: must be indented with spaces, got a tab"),
        (b"goals: [1, 2\n", "must be valid YAML"),
        (b"goals:\n  a: 1\n a: 2\n", "must be valid YAML"),
        (b"\x00\x01\x02", "must hold printable text only, got a control character"),
        (b"a: &x [1]\nb: *x\n", "extra.yaml:1: must be written out: anchors (&) and aliases (*) are not read"),
        (b"a: !!python/object/apply:os.system [ls]\n", "must be plain: tags (!) are not read"),
        (b"a: " + b"[" * 500 + b"]" * 500, "must be nested at most 20 deep"),
        (b"a: 1\n---\nb: 2\n", "extra.yaml:3: must hold one document, got a second one after `---`"),
        (b"? [a, b]\n: 1\n", "must have plain words as field names"),
        (b"#" * 1_000_001, "must be at most 1,000,000 bytes long, got 1,000,001 bytes"),
        (
            b"goals: {loyalty: {department: sales}}",
            "goals.loyalty: must be given once, the first is in catalogue.yaml:",
        ),
        (b"currency: USD\n", "extra.yaml:1: currency: must be given once, the first is in catalogue.yaml:3"),
    ],
)
def test_a_file_that_is_not_a_catalogue_is_refused(shop_folder: Path, content: bytes, expected: str) -> None:
    (shop_folder / "extra.yaml").write_bytes(content)
    found = [str(problem) for problem in check_catalogue(shop_folder)]
    assert any(expected in problem for problem in found), found


def test_a_duplicate_key_is_a_problem_although_yaml_would_keep_the_last(changed: Change) -> None:
    found = changed("  clicked: {unit", "  net_revenue: {unit: rate}\n  clicked: {unit")
    assert any("measures.net_revenue: must be given once, the first is on line" in problem for problem in found)


def test_a_billion_laughs_attack_is_refused(shop_folder: Path) -> None:
    bomb = 'a: &a ["lol"]\n' + "".join(
        f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    (shop_folder / "bomb.yaml").write_text(bomb, encoding="utf-8")
    assert any("must be written out" in str(problem) for problem in check_catalogue(shop_folder))


def test_words_that_yaml_reads_as_booleans_stay_words(changed: Change) -> None:
    assert changed("values: [north, south]", "values: [no, yes]") == []


@pytest.mark.parametrize("section", ["offers", "goals", "channels", "touchpoints", "currency", "offer_kinds"])
def test_a_missing_required_section_is_reported(tmp_path: Path, section: str) -> None:
    (tmp_path / "a.yaml").write_text("event_types: [stamp_paid]\n", encoding="utf-8")
    assert f"{section}: must be given, got nothing" in "\n".join(map(str, check_catalogue(tmp_path)))


def test_a_catalogue_without_offers_is_a_problem(changed: Change, shop_folder: Path) -> None:
    (shop_folder / "offers.yaml").write_text("offers: {}\n", encoding="utf-8")
    assert any(problem.field == "offers" for problem in check_catalogue(shop_folder))


def test_an_offer_needs_a_creative(changed: Change, shop_folder: Path) -> None:
    (shop_folder / "more.yaml").write_text(
        "offers:\n  bare:\n    goal: loyalty\n    kind: gift\n    creatives: []\n", encoding="utf-8"
    )
    assert any(problem.field == "offers.bare.creatives" for problem in check_catalogue(shop_folder))


def test_two_features_with_the_same_name_are_a_problem(changed: Change) -> None:
    found = changed("event_types: [stamp_paid]", "event_types: [stamp_paid, message]")
    assert any("feature names must be unique" in problem for problem in found)


def test_a_missing_or_empty_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="catalogue must be an existing folder of YAML files"):
        load_catalogue(tmp_path / "nowhere")
    with pytest.raises(InvalidInputError, match=r"must hold 1 to 200 files \*.yaml, got 0"):
        load_catalogue(tmp_path)


def test_a_long_list_of_problems_is_cut_short_with_their_number(shop_folder: Path) -> None:
    offers = "".join(f"  offer-{index}: {{goal: nope}}\n" for index in range(200))
    (shop_folder / "more.yaml").write_text(f"offers:\n{offers}", encoding="utf-8")
    with pytest.raises(InvalidPolicyError, match=r"\.\.\. and \d+ more"):
        load_catalogue(shop_folder)
