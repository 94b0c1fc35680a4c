"""What counts as reward in an evaluation: a declared measure, a built-in one, or an outcome or event by its name."""

from dataclasses import dataclass, replace

import polars as pl

from decisioning.arrays import FloatArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.measure import Measure, Unit
from decisioning.errors import InsufficientDataError, InvalidInputError, UnknownNameError
from features.catalogue.building.money import to_minor
from features.computing.sources import Tables
from features.log.event_types import EventType
from features.log.outcome_types import OutcomeType
from training.data.measures import decision_values


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """What a decision is judged by.

    Attributes:
        measure: What counts; its `cap_minor` is applied.
        is_learned: It is the measure that models learn, so a model's predictions are predictions of it.
        per_unit: Minor units per unit of the report: those of the currency's major unit, or 1 for a rate.
        unit: Currency of the report, or `rate`.
        is_net: What contacts cost is taken off: of money, and of a learned rate whose outcomes have a declared value.
    """

    measure: Measure
    is_learned: bool
    per_unit: float
    unit: str
    is_net: bool


def reward_of(catalogue: Catalogue, name: str | None, *, cap: float | None = None) -> Reward:
    """The reward of a name.

    Args:
        catalogue: The catalogue in force.
        name: A declared measure, `spend` (purchases), `net_revenue` (purchases less returns, where the catalogue does
            not say otherwise), an outcome type or an event type (did it happen); default what models learn.
        cap: Largest amount that one transaction counts for, in major units of the currency; money only.

    Raises:
        UnknownNameError: No such reward.
        InvalidInputError: A cap that is not positive, or on something that is not money.
    """
    learned = catalogue.learning.measure_id if catalogue.learning else None
    wanted = name or learned
    if wanted is None:
        raise InvalidInputError("--reward must be named where the catalogue does not say what is learned, got nothing")
    known = _built_in(catalogue) | dict(catalogue.measures)
    if wanted not in known:
        raise UnknownNameError("--reward", wanted, known)
    measure = known[wanted]
    is_money = measure.unit is Unit.MONEY
    if cap is not None and (not is_money or not cap > 0):
        raise InvalidInputError(f"--cap must be a positive amount for a reward in money, got {cap:g} for {wanted}")
    return Reward(
        measure=_capped(measure, None if cap is None else round(to_minor(cap, catalogue.currency))),
        is_learned=wanted == learned,
        per_unit=to_minor(1.0, catalogue.currency) if is_money else 1.0,
        unit=catalogue.currency if is_money else "rate",
        is_net=is_money or wanted == learned,
    )


def rewards_of(history: Tables, decisions: pl.DataFrame, reward: Reward) -> FloatArray:
    """What each decision brought in its window, in the report's unit: shape (n,).

    Args:
        history: Canonical events and outcomes.
        decisions: n rows with `decision_id`, `customer_id`, `starts_at`, `ends_at`.
        reward: What counts.

    Raises:
        InsufficientDataError: It never happened.
    """
    rows = decisions.select("decision_id", "customer_id", "starts_at", "ends_at")
    values = decision_values(history, rows, reward.measure, cap=True)["value"].to_numpy() / reward.per_unit
    if not values.any():
        raise InsufficientDataError(
            f"reward {reward.measure.measure_id} must happen in the window of a decision at least once, got never;"
            " check that the log holds events and outcomes, or name another --reward"
        )
    return values


def _capped(measure: Measure, cap_minor: int | None) -> Measure:
    parts = tuple(replace(one, measure=replace(one.measure, cap_minor=cap_minor)) for one in measure.parts)
    return replace(measure, cap_minor=cap_minor, parts=parts)


def _built_in(catalogue: Catalogue) -> dict[str, Measure]:
    purchases, returns = frozenset({EventType.PURCHASE.value}), frozenset({EventType.RETURN.value})
    money = {
        "spend": Measure(measure_id="spend", unit=Unit.MONEY, added_events=purchases),
        "net_revenue": Measure(
            measure_id="net_revenue", unit=Unit.MONEY, added_events=purchases, subtracted_events=returns
        ),
    }
    happenings = {
        name: Measure(measure_id=name, unit=Unit.RATE, added_events=frozenset({name})) for name in catalogue.event_types
    }
    outcomes = {
        one.value: Measure(
            measure_id=one.value,
            unit=Unit.RATE,
            outcomes=frozenset({one.value}),
            engagement=catalogue.engagement,
        )
        for one in OutcomeType
    }
    return happenings | outcomes | money
