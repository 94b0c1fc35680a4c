"""What an experiment was declared to be: arms, measures, window, and the phases in which its rule was another."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.experiment import AssignedUnit, Exposure, Inference
from decisioning.catalogue.measure import Measure
from decisioning.errors import InvalidPolicyError, UnknownNameError
from features.catalogue.assignment.ledger import HELD_OUT, Ledger, Phase, settled
from features.reports.readouts import ReadoutKind

HOLDOUT = "holdout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The recorded assignment of an experiment.

    Attributes:
        ledger: Beside the catalogue in force; None where nothing was kept, so that the catalogue counts for all times.
        by_policy: The ledger of the time in which a policy decided, by policy version.
    """

    ledger: Ledger | None = None
    by_policy: Mapping[str, Ledger] = field(default_factory=dict[str, Ledger])

    def phases(self, catalogue: Catalogue, name: str) -> tuple[Phase, ...]:
        """The phases of an experiment or of the universal holdout, the first one first.

        Raises:
            UnknownNameError: Neither the catalogue nor the ledger knows it.
        """
        ledger = self.ledger or settled(catalogue, None, _ANY_TIME)
        if name not in readable_names(catalogue, self):
            raise UnknownNameError("experiment", name, readable_names(catalogue, self))
        return phases_in(ledger, name)


_ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)


def phases_in(ledger: Ledger, name: str) -> tuple[Phase, ...]:
    """The phases of an experiment, or of the universal holdout where no experiment has its name."""
    found = ledger.experiments.get(name, ())
    return ledger.holdout if name == HOLDOUT and not found else found


def readable_names(catalogue: Catalogue, kept: Kept = Kept()) -> tuple[str, ...]:
    """What can be read: experiments that are declared, then those that were, and the universal holdout."""
    declared = tuple(experiment.experiment_id for experiment in catalogue.experiments)
    former = () if kept.ledger is None else tuple(kept.ledger.experiments)
    is_held = catalogue.holdout is not None and 0 < catalogue.holdout.share < 1
    was_held = kept.ledger is not None and bool(kept.ledger.holdout)
    return tuple(dict.fromkeys((*declared, *former, *((HOLDOUT,) if is_held or was_held else ()))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """The design of one phase: arms, measures, beginning.

    Attributes:
        closes_at: Windows that end later are not compared, since from then on somebody was treated otherwise.
        inference: `fixed` where one look was planned beforehand, and for this phase.
    """

    readout_id: str
    kind: ReadoutKind
    shares: dict[str, float]
    control: str
    exposure: Exposure
    measures: tuple[Measure, ...]
    window_days: float
    currency: str
    catalogue_version: str
    ends_at: datetime | None
    unit: AssignedUnit
    closes_at: datetime | None = None
    inference: Inference = Inference.SEQUENTIAL

    @property
    def reads_at(self) -> datetime | None:
        """The one look that was planned; None where every look counts."""
        if self.inference is Inference.SEQUENTIAL or self.ends_at is None:
            return None
        return self.ends_at + timedelta(days=self.window_days)


def design_of(catalogue: Catalogue, name: str, phase: Phase, *, last: Phase, closes_at: datetime | None) -> Design:
    """The design of one phase: arms are its own, what is compared is what counts now.

    Raises:
        InvalidPolicyError: The catalogue declares no window, or not the measure.
    """
    is_holdout = last.control == HELD_OUT and name == HOLDOUT
    if catalogue.learning is None:
        raise InvalidPolicyError("learning must be declared in the catalogue, got nothing; its window_days is needed")
    return Design(
        readout_id=name,
        kind=ReadoutKind.HOLDOUT if is_holdout else ReadoutKind.EXPERIMENT,
        shares={arm: rule.share for arm, rule in phase.arms.items()},
        control=last.control if last.control in phase.arms else phase.control,
        exposure=last.exposure,
        measures=_measures(catalogue, (catalogue.learning.measure_id,) if is_holdout else last.measures),
        window_days=catalogue.learning.window_days,
        currency=catalogue.currency,
        catalogue_version=catalogue.version,
        ends_at=last.ends_at,
        unit=phase.unit,
        closes_at=closes_at,
        inference=phase.inference if phase is last else Inference.SEQUENTIAL,
    )


def _measures(catalogue: Catalogue, names: tuple[str, ...]) -> tuple[Measure, ...]:
    for name in names:
        if name not in catalogue.measures:
            raise InvalidPolicyError(f"measure must be declared in the catalogue, got {name!r}; add it under measures")
    return tuple(catalogue.measures[name] for name in names)
