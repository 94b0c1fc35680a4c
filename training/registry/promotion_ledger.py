"""Every change of champion made from a home, every refusal and every rollout: a file of JSON lines that only grows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from decisioning.errors import InvalidInputError
from features.durability import append_lines
from features.models.registry import PROMOTED, PROMOTIONS
from features.settings import Settings

__all__ = ["PROMOTED", "REFUSED", "ROLLED_BACK", "TAKEN_BACK", "Promotion", "append", "champion_before", "read_ledger"]

REFUSED = "refuse"
ROLLED_BACK = "rollback"
TAKEN_BACK = "roll back canary"
"""A canary harmed, and the guard took it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """A change of champion, a refusal of one, or a rollout.

    Attributes:
        action: `PROMOTED`, `ROLLED_BACK` or `REFUSED`; of a rollout what it does, or that it ended.
        version: The champion from now on; of a refusal or a rollout, the version that does not become one.
        former: The champion until now, which a refusal and a rollout leave in force; None for the first.
        at: When (ISO 8601, UTC).
        by: The account that asked.
        reason: Why, in words: what the gate found, or what a person gave to overrule it.
        is_forced: A person overruled the comparison.
        has_changed: False where the version was the champion already; such an entry is not kept.
        numbers: What held-back customers said of the version, by name (`run_metrics`).
    """

    action: str
    version: str
    former: str | None
    at: str
    by: str
    reason: str
    is_forced: bool = False
    has_changed: bool = True
    numbers: Mapping[str, float] = field(default_factory=dict[str, float])


def append(settings: Settings, entry: Promotion) -> None:
    """Write an entry, and make sure that it is on disk."""
    append_lines(settings.models_path / PROMOTIONS, [entry])


def read_ledger(settings: Settings) -> list[Promotion]:
    """Every entry, oldest first; a line cut short by a crash is passed over."""
    path = settings.models_path / PROMOTIONS
    entries: list[Promotion] = []
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        try:
            entries.append(Promotion(**orjson.loads(line)))
        except (orjson.JSONDecodeError, TypeError):
            continue
    return entries


def champion_before(settings: Settings, version: str) -> str:
    """The champion to go back to from a version.

    Raises:
        InvalidInputError: None is on record.
    """
    former = [one for one in _standing(read_ledger(settings)) if one != version]
    if not former:
        raise InvalidInputError(
            f"ledger {settings.models_path / PROMOTIONS} must name a champion before version {version}, got none;"
            " promote a version by its number"
        )
    return former[-1]


def _standing(entries: Sequence[Promotion]) -> list[str]:
    """Champions that can still be gone back to, oldest first: a rollback takes what came after away."""
    stack: list[str] = []
    for entry in entries:
        if entry.action not in {PROMOTED, ROLLED_BACK}:
            continue
        if entry.action == ROLLED_BACK:
            while stack and stack[-1] != entry.version:
                stack.pop()
            continue
        if entry.former is not None and (not stack or stack[-1] != entry.former):
            stack.append(entry.former)
        stack.append(entry.version)
    return stack
