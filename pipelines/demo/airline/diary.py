"""What was played in a home: which world, and what every customer was sent each week.

The same seed gives the same world again, so what was sent is all that has to be stored for a later run to continue
where the last one stopped.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import orjson

from decisioning.arrays import BoolArray, IntArray
from decisioning.errors import InvalidInputError
from features.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The world that a home is played in.

    Attributes:
        history_days: Days of history before the first live week.
        live_at: The Monday of the first live week (aware, UTC).
        emphasis: Factor on every treatment effect, see `pipelines.simulation.world.structure.emphasised`.
    """

    customers: int
    seed: int
    history_days: int
    live_at: datetime
    emphasis: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedWeek:
    """What the engine did in a live week.

    Attributes:
        actions: (n,) index of the message that each customer was sent on Monday, -1 for silence.
        decision_ids: (n,) the decisions behind them; empty where there was none.
        answered: (n,) whose open case somebody had answered when the week began.
        is_held_out: (n,) the universal holdout.
    """

    actions: IntArray
    decision_ids: tuple[str | None, ...]
    answered: BoolArray
    is_held_out: BoolArray


class Diary:
    """The files of a home's rehearsal."""

    def __init__(self, settings: Settings) -> None:
        """Name the folder; nothing is read or written yet."""
        self._folder = settings.home / "demo"

    @property
    def clock_path(self) -> Path:
        """The rehearsal's clock."""
        return self._folder / "clock"

    def scenario(self) -> Scenario | None:
        """The world of this home; None where none was played yet."""
        path = self._folder / "scenario.json"
        if not path.is_file():
            return None
        fields = orjson.loads(path.read_bytes())
        return Scenario(**{**fields, "live_at": datetime.fromisoformat(fields["live_at"])})

    def begin(self, scenario: Scenario) -> None:
        """Note the world of this home."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "scenario.json").write_bytes(orjson.dumps(asdict(scenario), option=orjson.OPT_INDENT_2))

    def weeks(self) -> list[PlayedWeek]:
        """The weeks that were played to their end, in order."""
        paths = sorted(self._folder.glob("week-*.npz"))
        return [_read(path) for path in paths]

    def note(self, number: int, week: PlayedWeek) -> None:
        """Keep a week, counted from 0; the file appears whole."""
        path = self._folder / f"week-{number:04}.npz"
        fresh = path.with_suffix(".tmp")
        with fresh.open("wb") as file:
            np.savez(
                file,
                actions=week.actions,
                decision_ids=np.array([one or "" for one in week.decision_ids], dtype=np.str_),
                answered=week.answered,
                is_held_out=week.is_held_out,
            )
        fresh.replace(path)


def _read(path: Path) -> PlayedWeek:
    with np.load(path, allow_pickle=False) as kept:
        return PlayedWeek(
            actions=kept["actions"],
            decision_ids=tuple(str(one) or None for one in kept["decision_ids"]),
            answered=kept["answered"],
            is_held_out=kept["is_held_out"],
        )


def agreed(kept: Scenario | None, wanted: Scenario, asked: Mapping[str, float | None]) -> Scenario:
    """The world to play in: that of this home, which what was `asked` for must not contradict; `wanted` in a new home.

    Raises:
        InvalidInputError: The home holds another world.
    """
    if kept is None:
        return wanted
    for name, value in asked.items():
        there = getattr(kept, name)
        if value not in (None, there):
            raise InvalidInputError(
                f"--{name} must be {there} as in the world of this home, got {value}; leave it out to go on there, "
                "or choose a new folder with --home"
            )
    return kept
