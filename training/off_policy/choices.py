"""What a policy would have done at every logged decision: decided as in production, with what was known then."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from decisioning.arrays import FloatArray, IndexArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import SILENCE
from decisioning.decision import Decision, Inputs, PutOff, Reason, Request, request_uniform
from decisioning.errors import InvalidInputError, UnknownNameError
from decisioning.foresight.slots import Foresight
from decisioning.live import LiveState
from decisioning.policy import Policy, decide
from decisioning.residuals import NO_RESIDUALS
from decisioning.scoring import FeatureVector
from decisioning.value_model import MessageValues, ValueModel
from features.computing.compute import compute_features
from features.computing.feature_schema import FeatureSchema
from features.computing.feature_set import feature_schema
from features.history import History
from features.progress import OnStageProgress
from training.off_policy.logged_moments import NO_MOMENTS, LoggedMoment
from training.off_policy.profiles import channels_left, profiles_at

SETTLED = frozenset({Reason.PRECEDENCE, Reason.EXPERIMENT})
"""Reasons of decisions that values do not make."""

_SLICE = 1_000
"""Decisions scored together: bounds memory, and every cache still holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChoices:
    """A policy at n decisions; column 0 of every matrix is silence, the others are `keys` in order.

    Attributes:
        keys: `silence`, then the key of every message of the catalogue's touchpoints.
        greedy: shape (n,), column of what arbitration puts first, before any chance.
        alone: shape (n,), the same by the model alone: without stage credit, hours, room prices and residuals.
        probabilities: shape (n, k + 1), chances with exploration; 0 for what no gate let pass.
        permitted: shape (n, k + 1), what passed every gate; silence always does.
        predicted: shape (n, k + 1), the model's expected value of every candidate of the touchpoint over the window in
            which the decision is evaluated; NaN elsewhere.
        credit: shape (n, k + 1), what it expects of each beyond the window, which is part of what it serves; 0 without
            stage credit.
        expected: shape (n,), its expected value of the greedy choice over the window that it serves with.
        priorities: shape (n, k + 1), what arbitration compared, in minor units; NaN for what no gate let pass.
        settled: shape (n,), whether something else than values decided, such as precedence.
        stages: Stage of each customer as the decision saw it; None outside all.
        is_known: shape (n,), whether anything was known of the customer.
        put_off: shape (n,), whether serving would have put the ask off to a better hour. All else is of deciding at the
            logged moment, which is the one that the log knows outcomes of.
        has_contacts: shape (n,), whether the log says who was contacted when, as room prices ask.
        has_residuals: shape (n,), whether the log says what outcomes had said of the model by then, at that stage.
    """

    keys: tuple[str, ...]
    greedy: IndexArray
    alone: IndexArray
    probabilities: FloatArray
    permitted: npt.NDArray[np.bool_]
    predicted: FloatArray
    credit: FloatArray
    expected: FloatArray
    priorities: FloatArray
    settled: npt.NDArray[np.bool_]
    stages: npt.NDArray[np.object_]
    is_known: npt.NDArray[np.bool_]
    put_off: npt.NDArray[np.bool_]
    has_contacts: npt.NDArray[np.bool_]
    has_residuals: npt.NDArray[np.bool_]

    def columns(self, keys: Sequence[str | None]) -> IndexArray:
        """Column of each key; -1 for one that no touchpoint has."""
        places = {key: place for place, key in enumerate(self.keys)}
        return np.array([places.get(key, -1) if key else -1 for key in keys], dtype=np.intp)

    def take(self, rows: IndexArray) -> "PolicyChoices":
        """The policy at some of the decisions, by their places."""
        arrays = (one.name for one in fields(self) if one.name != "keys")
        return replace(self, **{name: getattr(self, name)[rows] for name in arrays})


def policy_to_judge(catalogue: Catalogue, seed: str) -> Policy:
    """The policy without holdout and experiments.

    Both are there to measure, and are laid over the policy for some customers: judged with them, the value would be a
    mixture of the policy and its own control groups. Exploration stays; it is part of what the policy does.
    """
    return Policy(replace(catalogue, holdout=None, experiments=()), seed)


def choose(
    history: History,
    decisions: pl.DataFrame,
    policy: Policy,
    model: ValueModel,
    *,
    moments: Mapping[str, LoggedMoment] = NO_MOMENTS,
    on_progress: OnStageProgress | None = None,
) -> PolicyChoices:
    """Decide every logged decision again.

    Args:
        history: What was known, and when.
        decisions: n rows with `decision_id`, `customer_id`, `decided_at`, `starts_at`, `ends_at`, `touchpoint`. The
            model chooses over its own window, as when it serves; what it predicts of outcomes is over the decision's.
        policy: From `policy_to_judge`.
        model: What gives values.
        moments: What records say of the state of the moment, by decision; a decision without one is made without room
            prices and residuals, as for a customer of whom nothing is live.
        on_progress: Told how far it is.

    Raises:
        InvalidInputError: Decisions name no touchpoint of the catalogue.
        ModelUnavailableError: The model gives values that cannot be used.
    """
    tell = on_progress or (lambda _step, _done, _total: None)
    touchpoints = touchpoints_of(decisions, policy.catalogue)
    situations = _Situations(
        policy=policy,
        model=model,
        ids=decisions["decision_id"].to_list(),
        customer_ids=decisions["customer_id"].to_list(),
        moments=decisions["decided_at"].to_list(),
        days=_window_days(decisions),
        touchpoints=touchpoints,
        features=_features_at(history, decisions, policy.catalogue, tell),
        profiles=profiles_at(history, decisions),
        left=channels_left(history, decisions),
        logged=[moments.get(one) for one in decisions["decision_id"].to_list()],
    )
    return _fill(situations, _Columns.of(policy, set(touchpoints)), tell)


def touchpoints_of(decisions: pl.DataFrame, catalogue: Catalogue) -> list[str]:
    """Touchpoint of each decision; one that names none is taken to be asked by the only one there is.

    Raises:
        InvalidInputError: None is named and there are several.
        UnknownNameError: One is named that is not declared.
    """
    known = sorted(catalogue.touchpoints)
    named = decisions["touchpoint"]
    for name in named.drop_nulls().unique().sort():
        if name not in catalogue.touchpoints:
            raise UnknownNameError("touchpoint of a logged decision", name, known)
    missing = named.null_count()
    if missing and len(known) != 1:
        raise InvalidInputError(
            f"decisions must name their touchpoint where the catalogue has several ({', '.join(known)}), got"
            f" {missing:,} without; fill in the column `touchpoint`"
        )
    return named.fill_null(known[0]).to_list()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Situations:
    """Everything `decide` looks at, for n decisions."""

    policy: Policy
    model: ValueModel
    ids: list[str]
    customer_ids: list[str]
    moments: list[datetime]
    days: list[float]
    touchpoints: list[str]
    features: list[FeatureVector | None]
    profiles: list[Any]
    left: list[frozenset[str]]
    logged: list[LoggedMoment | None]

    def foresight(self, row: int) -> Foresight | None:
        """What lies ahead as serving has it; where nobody knows of contacts so far, only what hours add."""
        foresight = self.model.foresight
        if foresight is None or self.profiles[row] is None:
            return None
        if self.logged[row] is not None:
            return foresight
        return None if foresight.hours is None else Foresight(hours=foresight.hours)

    def would_wait(self, row: int, values: FloatArray) -> bool:
        """Whether serving would put the ask off to a better hour."""
        foresight = self.foresight(row)
        is_waiting = self.policy.catalogue.touchpoints[self.touchpoints[row]].wait_seconds > 0
        has_hours = is_waiting and foresight is not None and foresight.hours is not None
        return has_hours and decide(self.policy, self._inputs(row, values), self.ids[row]).better_hour is not None

    def decision(self, row: int, values: FloatArray) -> Decision:
        """What is decided at the logged moment, by what the hour adds but without waiting for a better one."""
        return decide(self.policy, replace(self._inputs(row, values), put_off=self._put_off(row)), self.ids[row])

    def decision_alone(self, row: int, values: FloatArray) -> Decision:
        """The same with nothing added to the values: without residuals and what lies ahead."""
        inputs = replace(self._inputs(row, values), put_off=self._put_off(row), residuals=NO_RESIDUALS, foresight=None)
        return decide(self.policy, inputs, self.ids[row])

    def is_more_than_alone(self, row: int) -> bool:
        """Whether anything is added to what the model says of the window."""
        logged = self.logged[row]
        has_residuals = logged is not None and bool(logged.residuals)
        return self.model.credit is not None or has_residuals or self.foresight(row) is not None

    def _put_off(self, row: int) -> PutOff:
        return PutOff(asked_at=self.moments[row], until=self.moments[row])

    def _inputs(self, row: int, values: FloatArray) -> Inputs:
        profile, logged = self.profiles[row], self.logged[row]
        if profile is not None and self.left[row]:
            profile = replace(profile, unsubscribed_channels=self.left[row])
        request = Request(
            customer_id=self.customer_ids[row], touchpoint_id=self.touchpoints[row], request_key=self.ids[row]
        )
        return Inputs(
            request=request,
            customer=profile,
            features=self.features[row],
            expected_values=None if profile is None else values,
            model_version=self.model.version,
            now=self.moments[row],
            uniform=request_uniform(self.policy.seed, request),
            live=LiveState() if logged is None else logged.live,
            residuals=NO_RESIDUALS if logged is None else logged.residuals,
            foresight=self.foresight(row),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """Where each message of each touchpoint stands in the matrices."""

    places: dict[str, int]
    by_touchpoint: dict[str, IndexArray]

    @classmethod
    def of(cls, policy: Policy, touchpoints: set[str]) -> "_Columns":
        messages = {message.key for name in touchpoints for message in policy.candidates(name)}
        places = {key: place for place, key in enumerate((SILENCE, *sorted(messages)))}
        rows = {name: [0, *(places[one.key] for one in policy.candidates(name))] for name in touchpoints}
        by_touchpoint = {name: np.array(row, dtype=np.intp) for name, row in rows.items()}
        return cls(places=places, by_touchpoint=by_touchpoint)


def _fill(situations: _Situations, columns: _Columns, tell: OnStageProgress) -> PolicyChoices:
    n, width = len(situations.ids), len(columns.places)
    found = PolicyChoices(
        keys=tuple(columns.places),
        greedy=np.zeros(n, dtype=np.intp),
        alone=np.zeros(n, dtype=np.intp),
        probabilities=np.zeros((n, width)),
        permitted=np.zeros((n, width), dtype=np.bool_),
        predicted=np.full((n, width), np.nan),
        credit=np.zeros((n, width)),
        expected=np.full(n, np.nan),
        priorities=np.full((n, width), np.nan),
        settled=np.zeros(n, dtype=np.bool_),
        stages=np.full(n, None, dtype=np.object_),
        is_known=np.array([profile is not None for profile in situations.profiles]),
        put_off=np.zeros(n, dtype=np.bool_),
        has_contacts=np.array([one is not None for one in situations.logged], dtype=np.bool_),
        has_residuals=np.zeros(n, dtype=np.bool_),
    )
    done = 0
    for touchpoint_id, place in columns.by_touchpoint.items():
        members = [row for row, name in enumerate(situations.touchpoints) if name == touchpoint_id]
        scorer = situations.model.on(situations.policy.candidates(touchpoint_id))
        for start in range(0, len(members), _SLICE):
            rows = members[start : start + _SLICE]
            valued = _values(situations, scorer, rows)
            found.predicted[np.ix_(rows, place)] = valued.judged
            found.credit[np.ix_(rows, place)] = valued.served - valued.within
            found.expected[rows] = _decide(situations, columns, found, rows, valued, place)
            done += len(rows)
            tell("deciding", done, n)
    return found


def _decide(
    situations: _Situations,
    columns: _Columns,
    found: PolicyChoices,
    rows: Sequence[int],
    valued: "_Valued",
    place: IndexArray,
) -> FloatArray:
    """Decide some decisions of a touchpoint by their values and note it; gives the values of what was best."""
    for row, scores, within in zip(rows, valued.served, valued.within, strict=True):
        decision = situations.decision(row, scores)
        found.greedy[row] = found.alone[row] = columns.places[decision.best.message_key]
        if situations.is_more_than_alone(row):
            alone = situations.decision_alone(row, within)
            found.alone[row] = columns.places[alone.best.message_key]
        found.stages[row] = decision.stage_id
        found.settled[row] = decision.reason in SETTLED
        found.put_off[row] = situations.would_wait(row, scores)
        found.has_residuals[row] = bool(decision.inputs.residuals)
        for one in decision.evaluated:
            column = columns.places[one.message_key]
            found.probabilities[row, column], found.permitted[row, column] = one.probability, True
            found.priorities[row, column] = one.priority_minor
    wide = np.full((len(rows), len(columns.places)), np.nan)
    wide[:, place] = valued.served
    return wide[np.arange(len(rows)), found.greedy[rows]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Valued:
    """Values of silence and a touchpoint's candidates: shapes (rows, k + 1).

    Attributes:
        served: As decisions are made by them, with stage credit.
        within: Over the window that the model learned, and not beyond.
        judged: Over each decision's own window, as its outcomes were counted.
    """

    served: FloatArray
    within: FloatArray
    judged: FloatArray


def _values(situations: _Situations, scorer: MessageValues, rows: Sequence[int]) -> _Valued:
    """Values as served, and over each decision's own window.

    Serving asks for the window the model learned. What came of a logged decision was counted for as long as the log
    says, which is what outcomes are compared with.
    """
    nothing, own = _nothing_known(situations.policy.catalogue), situations.model.window_days
    features = [situations.features[row] or nothing for row in rows]
    moments, days = [situations.moments[row] for row in rows], [situations.days[row] for row in rows]
    served = scorer.of(features, moments)
    within = served if situations.model.credit is None else scorer.of(features, moments, [own] * len(rows))
    judged = within if all(one == own for one in days) else scorer.of(features, moments, days)
    return _Valued(served=served, within=within, judged=judged)


def _nothing_known(catalogue: Catalogue) -> FeatureVector:
    schema = feature_schema(catalogue)
    return _vector(schema, np.full(len(schema.names), np.nan))


def _vector(schema: FeatureSchema, values: FloatArray) -> FeatureVector:
    return FeatureVector(names=schema.names, values=values, ages_seconds={}, schema=schema.fingerprint)


def _features_at(
    history: History, decisions: pl.DataFrame, catalogue: Catalogue, tell: OnStageProgress
) -> list[FeatureVector | None]:
    """Features as of each decision; None where nothing was known, as for a customer who was never materialised."""
    schema = feature_schema(catalogue)
    anchors = decisions.select("customer_id", at="decided_at")
    frame = compute_features(history, anchors, catalogue, on_progress=lambda done, total: tell("features", done, total))
    matrix = frame.select(pl.col(name).fill_null(np.nan) for name in schema.names).to_numpy()
    return [None if np.isnan(row).all() else _vector(schema, row) for row in np.ascontiguousarray(matrix)]


def _window_days(decisions: pl.DataFrame) -> list[float]:
    length = pl.col("ends_at") - pl.col("starts_at")
    return decisions.select(length.dt.total_microseconds() / 86_400e6).to_series().to_list()
