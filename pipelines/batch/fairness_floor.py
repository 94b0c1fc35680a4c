"""What a floor for a group costs where places are short: the best plan with the floor against the best one without.

A guardrail on who is `reached` on a channel may find that places (calls, letters, seats) go to some and not to others.
Every customer for whom the channel was open, or closed for want of places alone, is a claim: what a place is worth to
them beyond the best thing that needs none. As many places as were given away are given anew, once freely and once
with at least as many for the group as its tolerance asks; the difference is the price, and customers drawn again give
its interval (percentile bootstrap).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil

import numpy as np
import polars as pl

from decisioning.arrays import BoolArray, FloatArray, IntArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import SILENCE
from decisioning.decision import Decision, Exclusion
from decisioning.errors import InvalidInputError
from decisioning.policy import Policy
from features.catalogue.fairness_rules import FairnessMeasure
from features.history import History
from features.log.contracts import DECISIONS
from features.log.event_log import EventLog
from features.models.logged_decisions import READ_COLUMNS, LoggedDecisions
from features.reports.fairness import FairnessComparison, FairnessReport, FairnessVerdict, Repair
from training.fairness.group_measures import MONTH_DAYS
from training.fairness.groups import groups_of
from training.kpis.contacts import KpiPeriod

DRAWS = 200
BATCH_ROWS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Who could have had a place, n customers.

    Attributes:
        worth_minor: shape (n,), what a place is worth to each beyond the best thing that needs none.
        is_group: shape (n,), who is in the group that the floor is for.
        places: How many places there are.
    """

    worth_minor: FloatArray
    is_group: BoolArray
    places: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorPrice:
    """What a floor costs, with its 95 % interval; `moved` places go to the group beyond what it had."""

    floor: int
    moved: float
    moved_lower: float
    moved_upper: float
    cost_minor: float
    cost_lower: float
    cost_upper: float


def least_places(group_count: int, other_count: int, places: int, tolerance: float) -> int:
    """Fewest places of a group with which its share of customers reached is within tolerance of everybody else's.

    Example:
        >>> least_places(100, 300, 80, 0.05)
        17
    """
    whole = group_count + other_count
    wanted = (places / other_count - tolerance) * group_count * other_count / whole if other_count else places
    return min(max(ceil(wanted - 1e-9), 0), places)


def price_floor(claims: Claims, tolerance: float, *, seed: int = 1) -> FloorPrice:
    """What it costs to bring a group within tolerance (how much smaller a share may be reached) by a floor.

    Raises:
        InvalidInputError: Too few of the group have a claim.
    """
    floor, moved, cost = _price(claims, tolerance)
    rng, count = np.random.default_rng(seed), len(claims.worth_minor)
    drawn = [_drawn(claims, rng.integers(0, count, count), tolerance) for _ in range(DRAWS)]
    ends = np.percentile(np.array([each for each in drawn if each is not None]), [2.5, 97.5], axis=0).tolist()
    (moved_lower, cost_lower), (moved_upper, cost_upper) = ends
    moves = {"moved": moved, "moved_lower": moved_lower, "moved_upper": moved_upper}
    return FloorPrice(floor=floor, **moves, cost_minor=cost, cost_lower=cost_lower, cost_upper=cost_upper)


def _drawn(claims: Claims, places: np.ndarray, tolerance: float) -> tuple[float, float] | None:
    again = replace(claims, worth_minor=claims.worth_minor[places], is_group=claims.is_group[places])
    try:
        return _price(again, tolerance)[1:]
    except InvalidInputError:
        return None


def _price(claims: Claims, tolerance: float) -> tuple[int, float, float]:
    """Floor, places moved and value lost."""
    group = int(claims.is_group.sum())
    floor = least_places(group, len(claims.is_group) - group, claims.places, tolerance)
    if floor > group:
        raise InvalidInputError(f"group must have {floor} claims on places, got {group}; allow a larger gap")
    free, kept = _best(claims, 0), _best(claims, floor)
    had, has = (int(claims.is_group[plan].sum()) for plan in (free, kept))
    return floor, float(has - had), float(claims.worth_minor[free].sum() - claims.worth_minor[kept].sum())


def _best(claims: Claims, floor: int) -> IntArray:
    """Who gets a place in the best plan: the floor's number of the group, then whoever gains most, if anything."""
    order = np.argsort(-claims.worth_minor, kind="stable")
    first = order[claims.is_group[order]][:floor]
    others = order[~np.isin(order, first) & (claims.worth_minor[order] > 0)]
    return np.concatenate([first, others[: claims.places - floor]])


def with_floor_prices(
    report: FairnessReport, log: EventLog, logged: LoggedDecisions, history: History, catalogue: Catalogue
) -> FairnessReport:
    """Add the price of a floor to every gap in who is reached on a channel, from the records of the period.

    Raises:
        LogUnavailableError: The log could not be read.
        InvalidInputError: A record could not be read.
    """
    period = KpiPeriod(from_at=report.from_at, as_of=report.as_of)
    comparisons = tuple(
        _priced(each, log, logged, history, catalogue, period) if _wants_floor(each) else each
        for each in report.comparisons
    )
    return replace(report, comparisons=comparisons)


def _wants_floor(comparison: FairnessComparison) -> bool:
    is_reached = comparison.guardrail.measure is FairnessMeasure.REACHED and comparison.guardrail.channel is not None
    return is_reached and comparison.verdict is FairnessVerdict.GAP


def _priced(
    comparison: FairnessComparison,
    log: EventLog,
    logged: LoggedDecisions,
    history: History,
    catalogue: Catalogue,
    period: KpiPeriod,
) -> FairnessComparison:
    channel = comparison.guardrail.channel or ""
    claims = claims_of(_decisions(log, logged, period), catalogue, channel)
    grouped = claims.join(groups_of(history, catalogue, comparison.guardrail.groups, period), on="customer_id")
    months = (period.as_of - period.from_at).total_seconds() / 86_400 / MONTH_DAYS
    repairs = [
        _repair(grouped, standing.group, comparison.guardrail.tolerance, channel, months)
        for standing in comparison.standings
        if standing.verdict is FairnessVerdict.GAP
    ]
    return replace(comparison, repairs=tuple(each for each in repairs if each is not None))


def _repair(rows: pl.DataFrame, group: str, tolerance: float, channel: str, months: float) -> Repair | None:
    """A floor for a group; None where its members have no claims to give places to."""
    claims = Claims(
        worth_minor=rows["worth_minor"].to_numpy(),
        is_group=(rows["group"] == group).to_numpy(),
        places=int(rows["has_place"].sum()),
    )
    if not claims.is_group.any() or not claims.places:
        return None
    try:
        price = price_floor(claims, tolerance)
    except InvalidInputError:
        return None
    return Repair(
        group=group,
        how=f"a floor on {channel}: at least {price.floor} of {claims.places} places for {group}",
        amount=price.moved / months,
        amount_lower=price.moved_lower / months,
        amount_upper=price.moved_upper / months,
        unit="contacts",
        cost_minor=price.cost_minor / months,
        cost_lower=price.cost_lower / months,
        cost_upper=price.cost_upper / months,
        side_effect="contribution that is given up, by the expected values of the decisions' records",
    )


def claims_of(decisions: Iterable[Decision], catalogue: Catalogue, channel: str) -> pl.DataFrame:
    """Claims to places on a channel, one per customer, of the latest decision that has one.

    Returns:
        `customer_id`, `worth_minor` and `has_place`.
    """
    policy = Policy(catalogue)
    found = [claim for decision in decisions for claim in _claim(decision, policy, channel)]
    moment = pl.Datetime("us", "UTC")
    schema = {"customer_id": pl.String, "decided_at": moment, "worth_minor": pl.Float64, "has_place": pl.Boolean}
    rows = pl.DataFrame(found, schema=schema, orient="row").sort("customer_id", "decided_at")
    return rows.unique("customer_id", keep="last", maintain_order=True).drop("decided_at")


def _claim(decision: Decision, policy: Policy, channel: str) -> Iterator[tuple[str, datetime, float, bool]]:
    """What a place would have been worth in one decision; nothing where the channel was closed for another reason."""
    worth: list[float] = []
    instead = 0.0
    for one in decision.evaluated:
        priority = one.priority_minor + one.shadow_minor
        if _channel_of(one.message_key) == channel:
            worth.append(priority)
        else:
            instead = max(instead, priority)
    full = [each.message_key for each in decision.excluded if each.reasons == (Exclusion.CAPACITY_FULL,)]
    worth += _uplifts(decision, policy, [key for key in full if _channel_of(key) == channel], channel)
    if worth:
        yield decision.customer_id, decision.decided_at, max(worth) - instead, decision.channel_id == channel


def _uplifts(decision: Decision, policy: Policy, keys: Sequence[str], channel: str) -> list[float]:
    """Uplift less contact cost of messages that were refused for want of places."""
    values, touchpoint = decision.inputs.expected_values, decision.touchpoint_id
    if not keys or values is None or touchpoint not in policy.catalogue.touchpoints:
        return []
    names = [each.key for each in policy.candidates(touchpoint)]
    if len(values) != len(names) + 1:  # decided under a catalogue with other messages
        return []
    cost = policy.catalogue.channels[channel].cost_minor
    return [float(values[1 + names.index(key)] - values[0] - cost) for key in keys if key in names]


def _channel_of(key: str) -> str:
    return key.split("/")[1] if key != SILENCE and key.count("/") > 1 else ""


def _decisions(log: EventLog, logged: LoggedDecisions, period: KpiPeriod) -> Iterator[Decision]:
    """A period's decisions, some at a time."""
    rows = log.scan(DECISIONS).filter(period.holds("decided_at") & pl.col("record").is_not_null())
    for batch in log.batches(DECISIONS, rows.select(READ_COLUMNS), size=BATCH_ROWS):
        yield from map(logged.decision, batch.iter_rows(named=True))
