"""What a model's predicted uplifts are worth on customers that it never learned from, as one report.

The report is made in a training run, of the model's twin (see `training.judgement.held_back`), and stored with the run:
as a whole, as tables and as pictures. Each policy sends the message whose predicted gain, less the cost of the contact,
is highest; gates, caps and fatigue are left out, as in all comparisons of models.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import TypeAdapter

from decisioning.arrays import FloatArray, IndexArray, IntArray
from decisioning.catalogue.measure import Unit
from decisioning.value_model import ValueModel
from training.data.datasets import Dataset
from training.data.net_worth import NetWorth
from training.intervals import Interval
from training.judgement.comparison import own_uplifts, values_of
from training.judgement.gain_curve import Order
from training.judgement.uplift_curves import SHARES, ContactPlan, PlanFigures, TriedPlan, figures_of
from training.models.learner import customers_at_random
from training.off_policy.estimators import mean_estimate

FORMAT_VERSION = 1

MOST_PICTURED = 40_000
"""Decisions that a report looks at: more takes time and shows the same."""

BINS = 10
CHECKS = ("inverse_probability", "self_normalised")
"""Estimators without a forecast, which must agree with the doubly robust one within noise."""

_MODEL, _INCUMBENT, _CONSTANT = "model", "incumbent", "constant"
_COMPARED = ("qini", "auuc", "all", "net_stop")
_FEWEST_IN_BIN = 2
_SEED = 42


@dataclass(frozen=True, slots=True, kw_only=True)
class UpliftCurve:
    """A value per decision by share contacted, with a pointwise 95 % band; all of the same length."""

    shares: tuple[float, ...]
    values: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpliftBin:
    """Decisions with similar predictions; equal ones are in the same bin."""

    decisions: int
    customers: int
    predicted: float
    realised: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReport:
    """One policy; the formulas stand in `training.judgement.uplift_curves`.

    Attributes:
        version: Of the model; None where it has none yet.
        qini: Area between curve and straight line, in the measure's unit per decision.
        qini_share: Normalised by what contacting everybody gains; None where that cannot be told from 0.
        checks: Qini by estimators without a forecast.
        contact_all: What contacting everybody gains.
        slope: Of realised on predicted uplift: 1 where predictions are right, 0 where they say nothing.
        net_curve: Less contact costs, in the measure's unit, in order of predicted net uplift.
        net_all: The same if everybody is contacted.
        net_stop: The same if it stops where the predicted net uplift is not above 0, as the engine would.
        stop_share: Share of decisions with a message then.
        bins: Tenths by predicted uplift, lowest first.
    """

    version: str | None
    qini: Interval
    qini_share: Interval | None
    auuc: Interval
    checks: Mapping[str, Interval]
    contact_all: Interval
    slope: Interval | None
    curve: UpliftCurve
    net_curve: UpliftCurve
    net_all: Interval
    net_stop: Interval
    stop_share: float
    bins: tuple[UpliftBin, ...]

    @property
    def beats_chance(self) -> bool:
        """Whether it orders customers better than chance, beyond noise."""
        return (self.qini.lower or 0.0) > 0

    @property
    def calibration_error(self) -> float:
        """Mean distance of predicted from realised uplift over the bins, by size."""
        gaps = [abs(one.predicted - one.realised.value) for one in self.bins]
        return float(np.average(gaps, weights=[one.decisions for one in self.bins]))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantReport:
    """The best single message for everybody, found on other customers; `silence` where none beats it."""

    message_key: str
    contact_all: Interval
    net_all: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class UpliftReport:
    """A model against chance, the best single message and the incumbent, on the same held-back decisions.

    Attributes:
        unit: Of gains: money in minor units of `currency`, or a rate.
        over_incumbent: Paired differences by name; empty where there is no incumbent.
        over_constant: The same.
    """

    decisions: int
    customers: int
    unit: Unit
    currency: str
    model: PlanReport
    incumbent: PlanReport | None
    constant: ConstantReport | None
    over_incumbent: Mapping[str, Interval]
    over_constant: Mapping[str, Interval]
    format_version: int = FORMAT_VERSION


UPLIFT_REPORTS = TypeAdapter(UpliftReport)
"""Its stored form: JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpliftRivals:
    """Whom a report compares.

    Attributes:
        model: It is about this one.
        incumbent: The champion's twin; None where there is none that can be compared.
        incumbent_version: Its version.
        constant: Message key of the best single action, found on other customers.
    """

    model: ValueModel
    incumbent: ValueModel | None = None
    incumbent_version: str | None = None
    constant: str

    @property
    def models(self) -> dict[str, ValueModel]:
        """Both by name."""
        return {_MODEL: self.model} | ({} if self.incumbent is None else {_INCUMBENT: self.incumbent})


def report_choices(dataset: Dataset, rivals: UpliftRivals, unit: Unit, currency: str) -> UpliftReport:
    """Report on free choice.

    Args:
        dataset: Held-back decisions with action probabilities.
        rivals: Whom to compare.
        unit: Of the measure.
        currency: Of money.
    """
    part = dataset.take(customers_at_random(dataset, MOST_PICTURED / dataset.size, _SEED))
    worth = NetWorth.of(part.messages, unit)
    values = {name: values_of(model, part) for name, model in rivals.models.items()}
    evidence = _Evidence(dataset=part, forecast=np.mean(list(values.values()), axis=0), worth=worth)
    plans = {name: evidence.plan(one) for name, one in values.items()}
    if rivals.constant in part.keys[1:]:
        plans[_CONSTANT] = evidence.constant(part.keys.index(rivals.constant))
    return _report(plans, part.customers, rivals, unit, currency)


def report_kept(dataset: Dataset, order: Order, rivals: UpliftRivals, unit: Unit, currency: str) -> UpliftReport:
    """Report on which of the messages that were sent a policy would keep, for logs that rules have shaped.

    Args:
        dataset: Held-back decisions, some of which sent something.
        order: Of the model, from `comparison.judge_kept`: one entry per message that was sent, net of its cost.
        rivals: Whom to compare; the best single message cannot be valued on such a log.
        unit: Of the measure.
        currency: Of money.
    """
    sent = dataset.take(dataset.actions > 0)
    worth = NetWorth.of(dataset.messages, unit)
    weights, costs = worth.weights[sent.actions], worth.costs[sent.actions]
    gains = np.divide(order.gains + costs, weights, out=np.zeros_like(order.gains), where=weights != 0)
    uplifts = {name: own_uplifts(model, sent) for name, model in rivals.models.items()}
    plans = {
        name: ContactPlan(
            uplifts=one,
            gains=gains,
            net_uplifts=one * weights - costs,
            net_gains=order.gains,
        )
        for name, one in uplifts.items()
    }
    return _report(plans, order.customers, rivals, unit, currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evidence:
    """What the log says of any choice: doubly robust, with one forecast for all policies."""

    dataset: Dataset
    forecast: FloatArray
    worth: NetWorth

    def plan(self, values: FloatArray) -> ContactPlan:
        """The plan of a model that expects these values, shape (n, k + 1)."""
        uplifts = values - values[:, :1]
        nets = self.worth.of_values(uplifts)
        choices = nets[:, 1:].argmax(axis=1) + 1
        own = np.take_along_axis(uplifts, choices[:, np.newaxis], axis=1)[:, 0]
        return self._plan(choices.astype(np.int64), own)

    def constant(self, action: int) -> ContactPlan:
        """The plan that sends everybody the same."""
        choices = np.full_like(self.dataset.actions, action)
        return self._plan(choices, np.zeros(self.dataset.size))

    def _plan(self, choices: IntArray, uplifts: FloatArray) -> ContactPlan:
        data, weights, costs = self.dataset, self.worth.weights[choices], self.worth.costs[choices]
        gains = self._terms(choices) - self._terms(np.zeros_like(choices))
        return ContactPlan(
            uplifts=uplifts,
            gains=gains,
            net_uplifts=uplifts * weights - costs,
            net_gains=gains * weights - costs,
            tried=TriedPlan(
                outcomes=data.values,
                sent=(data.actions == choices) / data.probabilities,
                silent=(data.actions == 0) / data.probabilities,
            ),
        )

    def _terms(self, choices: IntArray) -> FloatArray:
        data, rows = self.dataset, np.arange(self.dataset.size)
        left = (data.values - self.forecast[rows, data.actions]) / data.probabilities
        return self.forecast[rows, choices] + (choices == data.actions) * left


def _report(
    plans: Mapping[str, ContactPlan], customers: IntArray, rivals: UpliftRivals, unit: Unit, currency: str
) -> UpliftReport:
    figures = figures_of(plans, customers)
    own, constant, incumbent = figures[_MODEL], figures.get(_CONSTANT), figures.get(_INCUMBENT)
    return UpliftReport(
        decisions=len(customers),
        customers=int(np.unique(customers).size),
        unit=unit,
        currency=currency,
        model=_of_plan(None, plans[_MODEL], own, customers),
        incumbent=None
        if incumbent is None
        else _of_plan(rivals.incumbent_version, plans[_INCUMBENT], incumbent, customers),
        constant=None if constant is None else _of_constant(rivals.constant, constant),
        over_incumbent={} if incumbent is None else _gaps(own, incumbent, {name: name for name in _COMPARED}),
        over_constant={} if constant is None else _gaps(own, constant, {"all": "all", "net_stop": "net_all"}),
    )


def _gaps(own: PlanFigures, other: PlanFigures, names: Mapping[str, str]) -> dict[str, Interval]:
    found = {name: own.gap(name, other, theirs) for name, theirs in names.items()}
    return {name: gap for name, gap in found.items() if gap is not None}


def _of_plan(version: str | None, plan: ContactPlan, figures: PlanFigures, customers: IntArray) -> PlanReport:
    contact_all = _sure(figures, "all")
    is_clear = contact_all.ends[0] > 0 or contact_all.ends[1] < 0
    checks = {name: figures.interval(f"{name}_qini") for name in CHECKS if f"{name}_qini" in figures.point}
    return PlanReport(
        version=version,
        qini=_sure(figures, "qini"),
        qini_share=figures.interval("qini_share") if is_clear else None,
        auuc=_sure(figures, "auuc"),
        checks={name: one for name, one in checks.items() if one is not None},
        contact_all=contact_all,
        slope=figures.interval("slope"),
        curve=_curve(figures, "curve"),
        net_curve=_curve(figures, "net_curve"),
        net_all=_sure(figures, "net_all"),
        net_stop=_sure(figures, "net_stop"),
        stop_share=float((plan.net_uplifts > 0).mean()),
        bins=_bins(plan, customers),
    )


def _of_constant(key: str, figures: PlanFigures) -> ConstantReport:
    return ConstantReport(message_key=key, contact_all=_sure(figures, "all"), net_all=_sure(figures, "net_all"))


def _sure(figures: PlanFigures, name: str) -> Interval:
    """A number that every plan has."""
    found = figures.interval(name)
    assert found is not None, name  # noqa: S101 - sums of finite numbers
    return found


def _curve(figures: PlanFigures, name: str) -> UpliftCurve:
    low, high = figures.band(name)
    return UpliftCurve(
        shares=tuple(SHARES.tolist()),
        values=tuple(figures.point[name].tolist()),
        lower=tuple(low.tolist()),
        upper=tuple(high.tolist()),
    )


def _bins(plan: ContactPlan, customers: IntArray) -> tuple[UpliftBin, ...]:
    """Tenths by prediction; a group of equal predictions goes where its middle lies."""
    _, group, counts = np.unique(plan.uplifts, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    bins = np.minimum((BINS * middle / len(plan.uplifts)).astype(np.int64), BINS - 1)[group]
    members = (np.flatnonzero(bins == one) for one in range(BINS))
    return tuple(_bin(plan, customers, rows) for rows in members if rows.size)


def _bin(plan: ContactPlan, customers: IntArray, rows: IndexArray) -> UpliftBin:
    gains, who = plan.gains[rows], customers[rows]
    count = int(np.unique(who).size)
    realised = Interval(value=float(gains.mean()), lower=None, upper=None)
    if count >= _FEWEST_IN_BIN:
        found = mean_estimate(gains, who)
        realised = Interval(value=found.value, lower=found.lower, upper=found.upper, error=found.standard_error)
    return UpliftBin(
        decisions=int(rows.size), customers=count, predicted=float(plan.uplifts[rows].mean()), realised=realised
    )
