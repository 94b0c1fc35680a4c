"""The promotion gate: a paired comparison of candidate and champion on the same held-back customers.

A candidate passes where it is estimated to be no worse than the champion; where it is estimated to be a little worse,
only if it surely loses no more than a tenth of what the champion gains over silence. Where the catalogue says what a
change costs (`learning.change_cost`), it must be better by more than that, beyond noise. And nothing passes that is
surely worse than a rule that needs no model, the log as it was drawn included: that is what a first champion follows.
Nor does a first champion pass that is estimated to be worse than all of these rules, be it within noise: nothing speaks
for it, and each of them is there for free.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InsufficientDataError, InvalidInputError, NextbestError
from decisioning.policy import Policy
from features.models.bundle import ModelBundle, read_bundle, value_model
from features.models.fit import fit_model
from features.models.registry import MODEL_NAME, Registered, copy_registered
from features.models.schema_archive import known_schemas
from features.settings import Settings
from training.judgement.comparison import SILENCE_RULE, Judgement
from training.judgement.from_log import TWIN, constant_of, judge, load_training_set
from training.judgement.held_back import can_be_judged, held_back
from training.off_policy.estimators import Estimate
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


def compare(
    settings: Settings,
    catalogue: Catalogue,
    client: "MlflowClient",
    candidate: "ModelVersion",
    champion: Registered | None,
    *,
    now: datetime,
) -> str:
    """Why the candidate may follow the champion, in words.

    Raises:
        InvalidInputError: It may not.
        InsufficientDataError: Nobody can tell.
    """
    if champion is None:
        return _first(candidate.version, metrics_of(client, candidate.run_id))
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
    judgement = _judged(settings, catalogue, ours, served, now=now)
    contest = Challenge(judgement=judgement, has_seen=theirs is None)
    assert catalogue.learning is not None  # noqa: S101 - `check_promotable` asked before
    return check_contest(contest, candidate.version, champion.version, change_cost=catalogue.learning.change_cost)


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
) -> Judgement:
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
    return judge(dataset, held, found.steps, catalogue, models, constant_of(ours, catalogue))


def metrics_of(client: "MlflowClient", run_id: str | None) -> Mapping[str, float]:
    """What was measured in a run; nothing where there is no run."""
    return client.get_run(run_id).data.metrics if run_id else {}
