"""What the check proves about a catalogue before anything is sent: each finding once, and none if all is well."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from decisioning.errors import InvalidPolicyError
from features.catalogue import Examination, Proof, Severity, examine_catalogue, load_catalogue
from features.catalogue.summary import finding_lines, verdict_of

ROOT = Path(__file__).parents[3]
SHOP = ROOT / "tests" / "catalogues" / "shop"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
WARNINGS = yaml.safe_load((SHOP.parent / "warnings.yaml").read_text(encoding="utf-8"))
type Change = Callable[..., Examination]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHOP, tmp_path / "shop"))


@pytest.fixture
def changed(folder: Path) -> Change:
    """Replaces text in a copy of the shop's files and returns the findings of the check."""

    def change(old: str, new: str, file: str = "catalogue.yaml") -> Examination:
        path = folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return examine_catalogue(folder, NOW)

    return change


@pytest.mark.parametrize("change", WARNINGS, ids=lambda change: f"{change['proof']}-{change['found'].split(':')[0]}")
def test_a_warning_is_reported_at_its_line_and_does_not_reject_the_catalogue(
    changed: Change, folder: Path, change: dict[str, Any]
) -> None:
    for each in (*change.get("more", ()), change):
        changed(each["old"], each["new"], each["file"])
    examination = examine_catalogue(folder, NOW)
    assert examination.catalogue is not None
    told = [finding for finding in examination.findings if change["found"] in str(finding)]
    assert len(told) == 1, [str(finding) for finding in examination.findings]
    (finding,) = told
    assert finding.proof.value == change["proof"]
    assert finding.severity is Severity.WARNING
    line = (folder / finding.file).read_text(encoding="utf-8").splitlines()[finding.line - 1]
    assert finding.field.replace("]", "").replace("[", ".").split(".")[-1] in line or line.strip().startswith("- ")
    assert load_catalogue(folder).version == examination.catalogue.version


def test_every_kind_of_warning_has_a_case_and_a_title() -> None:
    assert {each["proof"] for each in WARNINGS} == {*map(str, Proof)} - {"mistake", "rule_unproven"}
    assert len({proof.words for proof in Proof}) == len(Proof)


def test_the_shop_has_no_warnings() -> None:
    assert examine_catalogue(SHOP, NOW).findings == ()


@pytest.mark.parametrize("folder", sorted(ROOT.glob("examples/*/catalogue")), ids=lambda each: each.parent.name)
def test_the_examples_have_no_errors_and_only_warnings_about_gaps(folder: Path) -> None:
    examination = examine_catalogue(folder, NOW)
    assert examination.catalogue is not None
    assert {finding.proof for finding in examination.findings} <= {Proof.CREATIVE_MISSING, Proof.FLOOR_OUT_OF_REACH}


@pytest.mark.parametrize(
    ("rule", "field", "got"),
    [
        ("{fact: customer.age, at_least: 70, less_than: 18}", "eligibility", "customer.age must be at least 70; and"),
        (
            "{all: [{fact: customer.age, at_least: 18}, {fact: purchase_count_90d, less_than: 0}]}",
            "eligibility.all[1]",
            "purchase_count_90d must be less than 0",
        ),
        ("{any: [{fact: stage_index, more_than: 2}]}", "eligibility.any[0]", "stage_index must be more than 2"),
        ("{fact: live.browse_count_1h, equals: 0.5}", "eligibility", "live.browse_count_1h must be 0.5"),
        ("{not: {any: [{fact: customer.age, is_missing: true}, {fact: customer.age, is_missing: false}]}}",
         "eligibility", "not (customer.age must be missing; or customer.age must be known)"),
    ],
)  # fmt: skip
def test_a_rule_that_nobody_can_meet_is_an_error(
    changed: Change, folder: Path, rule: str, field: str, got: str
) -> None:
    examination = changed("{fact: customer.age, at_least: 18}", rule, "offers.yaml")
    assert examination.catalogue is None
    (finding,) = examination.findings
    assert finding.severity is Severity.ERROR
    assert finding.field == f"offers.ten-percent.{field}"
    assert f"must be a rule that somebody can meet, got {got}" in finding.found
    with pytest.raises(InvalidPolicyError, match="must be a rule that somebody can meet"):
        load_catalogue(folder)


def test_rules_that_exclude_each_other_are_an_error(changed: Change) -> None:
    rules = "{fact: customer.age, at_least: 18}\n    suitability: {fact: customer.age, at_most: 17}"
    examination = changed("{fact: customer.age, at_least: 18}", rules, "offers.yaml")
    (finding,) = examination.findings
    assert finding.severity is Severity.ERROR
    assert finding.field == "offers.ten-percent.suitability"
    assert "eligibility and suitability exclude each other" in finding.found


def test_text_too_long_for_sms_even_with_empty_merge_fields_is_an_error(changed: Change) -> None:
    changed("body: See you soon", f'body: "{"See you soon. " * 12}{{{{ customer.first_name }}}}"', "offers.yaml")
    examination = changed("email: {cost: 0.01", "email: {max_sms_segments: 1, cost: 0.01")
    (finding,) = examination.findings
    assert finding.severity is Severity.ERROR
    assert finding.field == "offers.double-stamps.creatives[0].content.body"
    assert "must fit channel 'email', even before values are filled in, got body needs 2 SMS segments" in finding.found


def test_a_line_or_format_that_the_channel_cannot_carry_is_an_error(changed: Change) -> None:
    changed("body: See you soon", "body: See you soon\n          format: a3", "offers.yaml")
    examination = changed("email: {cost: 0.01", "email: {max_line_width: 8, formats: [a5, dl], cost: 0.01")
    told = "\n".join(map(str, examination.findings))
    assert "got body has a line of 12 characters, at most 8 fit" in told
    assert "offers.double-stamps.creatives[0].content.format: must fit channel 'email'" in told


def test_a_format_with_merge_fields_is_left_to_the_gate(changed: Change) -> None:
    changed("body: See you soon", 'body: See you soon\n          format: "{{ customer.region }}"', "offers.yaml")
    examination = changed("email: {cost: 0.01", "email: {formats: [a5], cost: 0.01")
    fields = {finding.field for finding in examination.findings}
    assert "offers.double-stamps.creatives[0].content.format" not in fields
    assert "offers.free-coffee.creatives[0].content.format" in fields  # it has no format at all


@pytest.mark.parametrize(
    "spared",
    [
        "contact_policy: {caps: {hours: {scope: offer, limit: 1, window_days: 7}}}",
        "contact_policy: {caps: {hours: {scope: class, of: service, limit: 1, window_days: 7}}}",
        "limits: {hours: {scope: goal, of: care, amount: 100, per: day}}",
        "shares: {service: {department: service, max: 0.5}}",
    ],
)
def test_a_class_with_precedence_does_not_starve_others_if_its_own_limits_stop_it(changed: Change, spared: str) -> None:
    examination = changed("service: {precedence: false}", f"service: {{precedence: true}}\n{spared}")
    assert not examination.findings


@pytest.mark.parametrize(
    "due",
    [
        "eligibility: {fact: live.browse_count_1h, at_least: 1}",
        "stages: [new]",
        "never_with: [free-coffee]",
        "valid_from: 2027-01-01",
    ],
)
def test_a_class_with_precedence_does_not_starve_others_if_it_is_not_always_permitted(
    changed: Change, due: str
) -> None:
    changed("    class: service", f"    class: service\n    {due}", "offers.yaml")
    assert not changed("service: {precedence: false}", "service: {precedence: true}").findings


def test_a_rule_that_cannot_be_proven_is_reported(changed: Change) -> None:
    words = [f"w{index}" for index in range(11)]
    holes = [f"{{fact: customer.p{index}, one_of: [{', '.join(words)}]}}" for index in range(12)]
    apart = [
        f"{{not: {{all: [{{fact: customer.p{a}, equals: {word}}}, {{fact: customer.p{b}, equals: {word}}}]}}}}"
        for a in range(12)
        for b in range(a)
        for word in words
    ]
    attributes = "".join(f"  p{index}: {{kind: category, values: [{', '.join(words)}]}}\n" for index in range(12))
    changed("customer_attributes:\n", f"customer_attributes:\n{attributes}")
    rule = f"{{all: [{', '.join(holes + apart)}]}}"
    examination = changed("{fact: customer.age, at_least: 18}", rule, "offers.yaml")
    assert [finding.proof for finding in examination.findings] == [Proof.RULE_UNPROVEN]


def test_many_categorical_merge_fields_in_one_text_are_tried_one_by_one(changed: Change) -> None:
    words = ", ".join(f"w{index}" for index in range(20))
    attributes = "".join(f"  c{index}: {{kind: category, values: [{words}]}}\n" for index in range(3))
    changed("customer_attributes:\n", f"customer_attributes:\n{attributes}")
    fields = "{{ customer.c0 | default: 0 }} {{ customer.c1 | default: 0 }}"
    text = fields + " {% if customer.c2 == 'w7' %}" + "x" * 80 + "{% endif %}"
    examination = changed(
        "headline: \"free-coffee for {{ customer.first_name | default: 'you' }}\"", f'headline: "{text}"', "offers.yaml"
    )
    (finding,) = examination.findings
    assert finding.found.startswith("breaks channel 'email' where customer.c2 is 'w7'")


def test_errors_hide_warnings(changed: Change) -> None:
    changed("    kind: gift", "    kind: gift\n    valid_until: 2026-11-01", "offers.yaml")
    examination = changed("goal: care", "goal: caer", "offers.yaml")
    assert [finding.severity for finding in examination.findings] == [Severity.ERROR]
    assert examination.findings[0].advice == "did you mean 'care'?"


def test_a_finding_says_where_what_and_how_to_fix_it(changed: Change) -> None:
    findings = changed("    kind: gift", "    kind: gift\n    valid_until: 2026-11-01", "offers.yaml").findings
    line = findings[0].line
    assert list(finding_lines(findings)) == [
        "warning: offer that is over",
        f"  where  offers.yaml:{line}  offers.free-coffee.valid_until",
        "  what   is over since 2026-11-01 00:00 UTC, so it is never sent",
        "  do     take it out, or give it a later end",
    ]
    assert verdict_of("shop", findings) == "shop has no errors and 1 warning"
