"""The promotion gate: a paired comparison of candidate and champion on the same held-back customers.

A candidate passes where it is estimated to be no worse than the champion; where it is estimated to be a little worse,
only if it surely loses no more than a tenth of what the champion gains over silence. Where the catalogue says what a
change costs (`learning.change_cost`), it must be better by more than that, beyond noise. And nothing passes that is
surely worse than a rule that needs no model, the log as it was drawn included: that is what a first champion follows.
Nor does a first champion pass that is estimated to be worse than all of these rules, be it within noise: nothing speaks
for it, and each of them is there for free.

What a comparison of values does not see is read beside it (`gate_readings`): the compiled scorer must score like the
booster, scoring must not take much longer, customers must not leave or complain more often, and no group that the
catalogue's guardrails name may lose by it or be contacted more for nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from decisioning.arrays import FloatArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import Message
from decisioning.errors import InsufficientDataError, InvalidInputError, ModelUnavailableError, NextbestError
from decisioning.policy import Policy
from features.catalogue import load_fairness
from features.catalogue.fairness_rules import Grouping
from features.history import History
from features.models.bundle import ModelBundle, load_value_model, read_bundle, value_model
from features.models.fit import ModelFit, fit_model
from features.models.registry import MODEL_NAME, Registered, copy_registered
from features.models.schema_archive import known_schemas
from features.settings import Settings
from training.data.datasets import Dataset, learning_of
from training.data.measures import decision_values
from training.data.net_worth import NetWorth
from training.fairness.groups import members_of
from training.judgement.comparison import SILENCE_RULE, Judgement, as_served, shared_columns
from training.judgement.from_log import TWIN, TrainingSet, constant_of, judge, load_training_set
from training.judgement.held_back import can_be_judged, held_back
from training.off_policy.estimators import Estimate
from training.registry.gate_readings import (
    HARM,
    ChoicePair,
    GateReading,
    drawn_customers,
    read_groups,
    read_harm,
    read_latency,
    read_parity,
)
from training.registry.model_contest import choices_of
from training.registry.run_metrics import HELD_BACK_GAINS, is_below_all, surely_below
from training.registry.tracking import twin_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "the champion"
"""What the champion is called in a judgement; the candidate is `TWIN`."""

TOLERATED_SHARE = 0.1
"""Share of the champion's gain over silence that a candidate may lose, beyond noise, where it is estimated worse."""

_OVERRULE = "keep the champion, or overrule with --force --reason"
_TRAIN_AGAIN = "train again, or overrule with --force --reason"


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A candidate and the champion on the same held-back decisions.

    Attributes:
        judgement: Of both.
        has_seen: The champion learned from these customers, which flatters it.
    """

    judgement: Judgement
    has_seen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A version that wants to be champion.

    Attributes:
        registered: As the registry has it.
        fit: As it would serve.
        numbers: What the gate finds, by name, for the ledger: filled as it is found, so that a refusal has it, too.
    """

    registered: "ModelVersion"
    fit: ModelFit
    numbers: dict[str, float] = field(default_factory=dict[str, float])


def compare(
    settings: Settings,
    catalogue: Catalogue,
    client: "MlflowClient",
    contender: Contender,
    champion: Registered | None,
    *,
    now: datetime,
) -> str:
    """Why the candidate may follow the champion, in words.

    Raises:
        InvalidInputError: It may not.
        InsufficientDataError: Nobody can tell.
    """
    candidate, policy = contender.registered, Policy(catalogue)
    if champion is None:
        parity = read_parity(contender.fit, _messages(policy), drawn_customers(contender.fit.model))
        contender.numbers.update(parity.numbers)
        reason = _first(candidate.version, metrics_of(client, candidate.run_id))
        return _with_readings(reason, [replace(parity, is_told=False)], candidate.version)
    _check_comparable(candidate, client.get_model_version(MODEL_NAME, champion.version))
    ours = twin_of(client, candidate.run_id)
    if ours is None:
        raise InsufficientDataError(
            f"candidate {candidate.version} must have a twin that did not learn from held-back customers to be"
            " compared, got none: it was trained by an earlier version, on a log without action probabilities, or on"
            f" too few customers; {_TRAIN_AGAIN}"
        )
    theirs = twin_of(client, champion.run_id)
    served = theirs or read_bundle(copy_registered(settings, champion).folder)
    found, pair = _judged(settings, catalogue, ours, served, now=now)
    contest = Challenge(judgement=pair.judgement, has_seen=theirs is None)
    readings = [
        *_served_readings(settings, contender.fit, policy, champion, pair.dataset),
        *_held_back_readings(settings, catalogue, found, pair),
    ]
    contender.numbers.update(_gain_numbers(pair.judgement))
    for one in readings:
        contender.numbers.update(one.numbers)
    assert catalogue.learning is not None  # noqa: S101 - `check_promotable` asked before
    reason = check_contest(contest, candidate.version, champion.version, change_cost=catalogue.learning.change_cost)
    return _with_readings(reason, readings, candidate.version)


def _with_readings(reason: str, readings: Sequence[GateReading], version: str) -> str:
    """The reason with what else was looked at.

    Raises:
        InvalidInputError: Something is broken.
    """
    for one in readings:
        if one.is_broken:
            raise InvalidInputError(f"candidate {version} {one.words}; {_OVERRULE}")
    return "; ".join([reason, *(one.words for one in readings if one.is_told)])


def _messages(policy: Policy) -> dict[str, Sequence[Message]]:
    return {name: policy.candidates(name) for name in policy.catalogue.touchpoints}


def _gain_numbers(judgement: Judgement) -> dict[str, float]:
    gap = judgement.gain(TWIN, CHAMPION)
    return {"gate_gain": gap.value, "gate_gain_lower": gap.lower, "gate_gain_upper": gap.upper}


def _served_readings(
    settings: Settings, fit: ModelFit, policy: Policy, champion: Registered, part: Dataset
) -> Iterator[GateReading]:
    """Parity of the candidate, and its time beside the champion's."""
    ours = shared_columns(fit.model, as_served(fit.model, part))
    yield read_parity(fit, _messages(policy), ours)
    try:
        copy = copy_registered(settings, champion)
        other = fit_model(load_value_model(copy.folder, version=copy.version), policy, known_schemas(settings))
    except (InvalidInputError, ModelUnavailableError) as error:
        yield GateReading(words=f"times are not compared: {str(error).rstrip('.')}", numbers={})
        return
    yield read_latency(fit, other, ours, shared_columns(other.model, as_served(other.model, part)))


def _held_back_readings(
    settings: Settings, catalogue: Catalogue, found: TrainingSet, pair: ChoicePair
) -> Iterator[GateReading]:
    """Harm, and what changes for groups of customers."""
    history, dataset = History.from_log(found.log), found.dataset
    held, harm = held_back(dataset.decisions["customer_id"]), _harm(history, dataset)
    yield read_harm(pair, harm[held], _harm_by_action(dataset.take(~held), harm[~held], len(dataset.messages)))
    declared = frozenset(one.groups for one in load_fairness(settings.catalogue_path).guardrails)
    groupings = sorted({*declared, *(one.value for one in Grouping)})
    members = members_of(history, catalogue, pair.dataset.decisions, groupings)
    yield from read_groups(pair, members, declared)


def _harm(history: History, dataset: Dataset) -> FloatArray:
    days = pl.Series((dataset.contexts[:, 0] * 86_400e6).round().astype(np.int64))
    windows = dataset.decisions.with_columns(
        starts_at="decided_at", ends_at=pl.col("decided_at") + days.cast(pl.Duration("us"))
    )
    return decision_values(history, windows, HARM, cap=False)["value"].to_numpy()


def _harm_by_action(others: Dataset, harm: FloatArray, messages: int) -> FloatArray:
    """How often harm follows silence and each message, shape (k + 1,); the mean of all where a message is not there."""
    counts = np.bincount(others.actions, minlength=messages + 1)
    sums = np.bincount(others.actions, weights=harm, minlength=messages + 1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), float(harm.mean()))


def check_contest(contest: Challenge, candidate: str, champion: str, *, change_cost: float) -> str:
    """Apply the rules of this module to a contest; gives the reason why the candidate passes, in words.

    Raises:
        InvalidInputError: It is worse, or not better by what a change costs.
        InsufficientDataError: It may be worse, and nobody can tell.
    """
    judgement = contest.judgement
    gap = judgement.gain(TWIN, CHAMPION)
    words = f"{told(gap)} a decision on {judgement.decisions:,} decisions of {judgement.customer_count:,} held-back"
    words += " customers" + (f"; champion {champion} learned from them, which flatters it" if contest.has_seen else "")
    for rule in judgement.rules:
        over = judgement.gain(TWIN, rule)
        if over.upper < 0:
            raise InvalidInputError(
                f"candidate {candidate} must not be worse than {rule}, got {told(over)}; {_OVERRULE}"
            )
    if change_cost > 0 and gap.lower <= change_cost:
        raise InvalidInputError(
            f"candidate {candidate} must be better than champion {champion} by more than a change costs"
            f" ({change_cost:,.4g}, learning.change_cost), got {words}; {_OVERRULE}"
        )
    tolerated = TOLERATED_SHARE * max(judgement.gain(CHAMPION, SILENCE_RULE).value, 0.0)
    if gap.value < 0 and gap.lower < -tolerated:
        if gap.upper < 0:
            raise InvalidInputError(
                f"candidate {candidate} must not be worse than champion {champion}, got {words}; {_OVERRULE}"
            )
        raise InsufficientDataError(
            f"candidate {candidate} must be certain to lose no more than {tolerated:,.4g} a decision (a tenth of what"
            f" champion {champion} gains over silence), got {words}; log more, {_OVERRULE}"
        )
    gains = ", ".join(f"{told(judgement.gain(TWIN, rule))} over {rule}" for rule in judgement.rules)
    return f"not worse than champion {champion}: {words}; {gains}"


def told(estimate: Estimate) -> str:
    """An estimate with its 95 % interval, in words."""
    return f"{estimate.value:+,.4g} [{estimate.lower:+,.4g}, {estimate.upper:+,.4g}]"


def _check_comparable(candidate: "ModelVersion", champion: "ModelVersion") -> None:
    for tag in ("measure", "window_days"):
        if candidate.tags.get(tag) != champion.tags.get(tag):
            raise InsufficientDataError(
                f"candidate {candidate.version} must have the champion's {tag} ({champion.tags.get(tag)}) to be"
                f" compared, got {candidate.tags.get(tag)}; overrule with --force --reason"
            )


def _first(version: str, metrics: Mapping[str, float]) -> str:
    """A first champion follows the log's own policy, silence and the best single message."""
    rule = surely_below(metrics)
    if rule is not None:
        name = HELD_BACK_GAINS[rule]
        raise InvalidInputError(
            f"candidate {version} must not be worse than {rule}, got {metrics[name]:+,.4g} a decision on held-back"
            f" customers (95 % interval up to {metrics[f'{name}_upper']:+,.4g}); train again with more decisions, or"
            " overrule with --force --reason"
        )
    gains = [f"{metrics[name]:+,.4g} over {rule}" for rule, name in HELD_BACK_GAINS.items() if name in metrics]
    told = ", ".join(gains)
    if is_below_all(metrics):
        raise InsufficientDataError(
            f"candidate {version} must be estimated to be no worse than one rule without a model at least, got {told} a"
            " decision on held-back customers; train again with more decisions, or overrule with --force --reason"
        )
    return "the first champion: " + (f"{told} on held-back customers" if gains else "compared with nothing")


def _judged(
    settings: Settings, catalogue: Catalogue, ours: ModelBundle, theirs: ModelBundle, *, now: datetime
) -> tuple[TrainingSet, ChoicePair]:
    """Score both on what the log says now of the customers who are held back from every run."""
    try:
        found = load_training_set(settings, catalogue, now=now)
    except NextbestError as error:
        raise InsufficientDataError(
            f"log must hold what a comparison looks at, got none: {str(error).rstrip('.')}; or overrule with"
            " --force --reason"
        ) from error
    dataset = found.dataset
    held = held_back(dataset.decisions["customer_id"])
    if not dataset.is_randomised or not can_be_judged(dataset, held):
        raise InsufficientDataError(
            "log must hold decisions with action probabilities of enough held-back customers, got"
            f" {np.unique(dataset.customers[held]).size}; log more, or overrule with --force --reason"
        )
    policy, known = Policy(catalogue), known_schemas(settings)
    models = {  # as a server would use them: what the catalogue lacks by now is missing to both
        name: fit_model(value_model(bundle, version=name), policy, known).model
        for name, bundle in ((TWIN, ours), (CHAMPION, theirs))
    }
    judgement = judge(dataset, held, found.steps, catalogue, models, constant_of(ours, catalogue))
    part = dataset.take(held)
    chosen = choices_of(judgement, part, models, NetWorth.of(part.messages, learning_of(catalogue)[1].unit))
    choices = (chosen[TWIN], chosen[CHAMPION])
    return found, ChoicePair(dataset=part, judgement=judgement, choices=choices, names=(TWIN, CHAMPION))


def metrics_of(client: "MlflowClient", run_id: str | None) -> Mapping[str, float]:
    """What was measured in a run; nothing where there is no run."""
    return client.get_run(run_id).data.metrics if run_id else {}
