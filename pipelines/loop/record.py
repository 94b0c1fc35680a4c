"""What the loop remembers below the home: the run under way or the last one, and what each step did last.

The state is replaced as a whole and reaches the disk before the next step starts, so a run that was killed finds out
where it stood. Finished runs are added to a history that only grows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from decisioning.errors import InvalidInputError, UnavailableError
from features.durability import append_lines, replace_file
from features.settings import Settings
from pipelines.loop.inputs import LoopInputs


class StepName(StrEnum):
    """The steps, in their order."""

    IMPORT = "import"
    FEATURES = "features"
    TRAIN = "train"
    EVALUATE = "evaluate"
    GATE = "gate"
    PROMOTE = "promote"
    MATERIALISE = "materialise"


class StepStatus(StrEnum):
    """How a step went; `SAME` is where there was nothing new to do."""

    RUNNING = "running"
    DONE = "done"
    SAME = "nothing new"
    REFUSED = "refused"
    SHORT = "too little data"
    FAILED = "failed"


class RunOutcome(StrEnum):
    """How a run ended."""

    CHANGED = "changed"
    NOTHING_NEW = "nothing new"
    REFUSED = "model refused"
    SHORT = "too little data"
    FAILED = "failed"


type StepFacts = Mapping[str, object]
"""What a step produced, as plain values by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One step of one run.

    Attributes:
        key: Hash of everything the step reads.
        words: What it did, or why it did not.
        facts: What it produced; of a step without anything new, what it produced before.
    """

    name: StepName
    key: str
    status: StepStatus
    began_at: datetime
    seconds: float = 0.0
    words: str = ""
    facts: StepFacts = field(default_factory=dict[str, object])

    @property
    def has_ended(self) -> bool:
        """It did what it had to."""
        return self.status not in {StepStatus.RUNNING, StepStatus.FAILED}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run.

    Attributes:
        number: 1 for the first run of a home.
        data: Folder that was imported; None where none was named.
        most_unknown: Largest share of unknown names in a column that its import takes.
        moment: As of when it looks at the log (aware, UTC); a run that is resumed keeps it.
        resumed: How often it was taken up again.
        ended_at: None while it runs, and where it was killed.
        outcome: None as above.
        problem: Why it failed.
    """

    number: int
    data: str | None
    most_unknown: float
    moment: datetime
    began_at: datetime
    resumed: int = 0
    ended_at: datetime | None = None
    outcome: RunOutcome | None = None
    problem: str | None = None
    steps: Mapping[str, StepRecord] = field(default_factory=dict[str, StepRecord])

    @property
    def is_open(self) -> bool:
        """It was killed, or failed: the next run goes on where it stood."""
        return self.outcome in {None, RunOutcome.FAILED}

    def with_step(self, step: StepRecord) -> "RunRecord":
        """The same with a step added, or brought up to date."""
        return replace(self, steps={**self.steps, step.name.value: step})


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopState:
    """What is kept between runs.

    Attributes:
        run: The run under way, or the last one.
        standing: By step, the last record of it that ended well, whichever run it was in.
        inputs: What the last finished run looked at.
    """

    run: RunRecord | None = None
    standing: Mapping[str, StepRecord] = field(default_factory=dict[str, StepRecord])
    inputs: LoopInputs | None = None


_STATE = TypeAdapter(LoopState)


def loop_folder(settings: Settings) -> Path:
    """Where the loop keeps its state, its history and its lock."""
    return settings.home / "pipeline"


def read_state(settings: Settings) -> LoopState:
    """The state as it is on the disk; an empty one before the first run.

    Raises:
        InvalidInputError: The file is not what this release writes.
    """
    path = _state_path(settings)
    if not path.is_file():
        return LoopState()
    try:
        return _STATE.validate_json(path.read_bytes())
    except ValidationError as error:
        raise InvalidInputError(
            f"{path} must be the state of the pipeline, got something else; delete it: the next run then looks at"
            " everything again, and changes only what is new"
        ) from error


def write_state(settings: Settings, state: LoopState) -> None:
    """Replace the state; it is on the disk on return.

    Raises:
        UnavailableError: It cannot be written.
    """
    try:
        replace_file(_state_path(settings), orjson.dumps(state, option=orjson.OPT_INDENT_2), is_durable=True)
    except OSError as error:
        raise UnavailableError(
            f"{_state_path(settings)} must be writable, got {error.strerror}; free space or give access"
        ) from error


def keep_run(settings: Settings, run: RunRecord) -> None:
    """Add a finished run to the history."""
    append_lines(loop_folder(settings) / "runs.jsonl", [run])


def _state_path(settings: Settings) -> Path:
    return loop_folder(settings) / "state.json"
