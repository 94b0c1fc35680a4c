"""Purposes and conversation as marketers write them; catalogues that do not use them keep their version."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from decisioning.catalogue.conversation import Conversation
from decisioning.catalogue.message_classes import DEFAULT_CLASSES, Layer
from features.catalogue import Proof, examine_catalogue, load_catalogue

SHOP = Path(__file__).parents[2] / "catalogues" / "shop"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
type Write = Callable[..., Path]
PLAIN = """
currency: EUR
offer_kinds: [deal]
measures: {booked: {unit: rate, add: [purchase]}}
goals: {sell: {department: sales}, help: {department: service}}
stages: [{stage: plan, goal: sell, entry: {fact: browse_recency_days, at_most: 7}}, {stage: rest, goal: help}]
touchpoints: {mail: {channels: [email, push]}}
channels: {email: {cost: 0.01}, push: {}}
care: {cases: {lost_item: {opened_by: [delivery], resolved_by: [return]}}}
offers:
  deal:
    goal: sell
    kind: deal
    creatives:
      - {creative: first, channel: email, content: {subject: A deal}}
      - {creative: again, channel: push, content: {title: The deal again}}
"""
VERSION_BEFORE = "6abb275f78ff5a54"
"""As computed by the release before purposes and conversations."""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*changes: tuple[str, str]) -> Path:
        text = PLAIN
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "catalogue.yaml").write_text(text, encoding="utf-8")
        return tmp_path

    return write


def test_a_catalogue_without_the_new_sections_keeps_its_version(write: Write) -> None:
    assert load_catalogue(write()).version == VERSION_BEFORE


@pytest.mark.parametrize(
    "changes",
    [
        [("push: {}", "push: {purposes: {plan: [sell]}}")],
        [("offers:\n", "conversation: {seen_days: 14}\noffers:\n")],
    ],
)
def test_every_new_declaration_changes_the_version(write: Write, changes: list[tuple[str, str]]) -> None:
    first = load_catalogue(write(*changes)).version
    bypassing = [*changes, ("offers:\n", "classes: {service: {bypasses: [care, purpose, conversation]}}\noffers:\n")]
    assert len({VERSION_BEFORE, first, load_catalogue(write(*bypassing)).version}) == 3


def test_follow_ups_are_stored_by_message_key(write: Write) -> None:
    folder = write(
        ("offers:\n", "conversation: {seen_days: 14}\noffers:\n"),
        ("{creative: again,", "{creative: again, follow_up: true,"),
        ("push: {}", "push: {purposes: {rest: [help], plan: [sell, help]}}"),
    )
    catalogue = load_catalogue(folder)
    assert catalogue.conversation == Conversation(seen_seconds=14 * 86_400.0, follow_ups=frozenset({"deal/push/again"}))
    assert catalogue.channels["push"].purposes == {"plan": {"sell", "help"}, "rest": {"help"}}
    assert catalogue.channels["email"].purposes is None


def test_no_creative_is_missed_on_a_channel_with_other_purposes(write: Write) -> None:
    spare = ("push: {}", "push: {}, sms: {}, web: {purposes: {rest: [help]}}")
    folder = write(spare, ("channels: [email, push]", "channels: [email, push, sms, web]"))
    (finding,) = examine_catalogue(folder, NOW).findings
    assert finding.proof is Proof.CREATIVE_MISSING
    assert "sms (at mail)" in finding.found
    assert "web" not in finding.found


@pytest.mark.parametrize(
    ("section", "is_starving"),
    [
        ("", True),
        ("conversation: {seen_days: 14}", False),
        ("conversation: {seen_days: 14}\nclasses: {service: {bypasses: [conversation]}}", True),
    ],
)
def test_a_class_with_precedence_does_not_starve_others_if_it_is_not_repeated(
    tmp_path: Path, section: str, is_starving: bool
) -> None:
    folder = Path(shutil.copytree(SHOP, tmp_path / "shop"))
    path = folder / "catalogue.yaml"
    path.write_text(path.read_text().replace("classes:\n  service: {precedence: false}\n", f"{section}\n"))
    found = {finding.proof for finding in examine_catalogue(folder, NOW).findings}
    assert (Proof.CLASS_STARVES in found) is is_starving


def test_only_service_and_marketing_obey_purposes_and_conversation() -> None:
    kept = {name for name, rules in DEFAULT_CLASSES.items() if not rules.bypasses & {Layer.PURPOSE, Layer.CONVERSATION}}
    assert kept == {"service", "marketing"}
