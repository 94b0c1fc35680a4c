"""The wide contest: the usual learner against others, by what the policies they lead to are worth.

All learn from the same log and choose for the same customers, whom what they say was not learned from. Values are
doubly robust, net of contacts, and paired by customer. Most differences are noise, so the usual learner stays unless
the best of the others gains more beyond noise, at a level that is shared among them (Bonferroni). A winner's effects
are told to one booster over customer and message, which serves like any other; `likeness` is the share of the variance
of effects by customer that it says again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from decisioning.arrays import BoolArray, FloatArray, IntArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError
from features.models.bundle import ModelBundle
from features.progress import OnProgress
from training.data.datasets import Dataset
from training.data.missing import column_groups
from training.models.boosting import BoosterSettings, CrossFitted, customer_folds, importance_of, tell
from training.models.contestants import CONTESTANTS, Contestant, Lessons, cross_fitted_effects
from training.models.effects import EffectEvidence
from training.models.learner import TOLD_NUMBERS, Learned, Lesson, Retell, Retold, learn
from training.models.settings_search import is_beyond_noise
from training.off_policy.estimators import Estimate, difference

CONTEST_FILE = "contest.csv"
CONTEST_NOTE = "contest"
"""Under which a bundle's notes keep who took part and what came of it."""

USUAL = "usual"
LEAST_LIKENESS = 0.8
"""Of a winner: what serves must be what was valued."""

_MOST_TOLD = 20_000  # decisions that a served booster is trained on
_TOLD_MESSAGES = 6  # of each of them, at random


@dataclass(frozen=True, slots=True, kw_only=True)
class ContestEntry:
    """A learner that took part.

    Attributes:
        value: Of the policy's free choice per decision, cross-validated.
        gain: Over the usual learner, paired by customer.
        likeness: Share of the variance of its effects by customer that one booster says again; None for the usual one.
    """

    name: str
    value: Estimate
    gain: Estimate
    likeness: float | None

    def plain(self) -> dict[str, str | float | None]:
        """As a bundle's notes and tables keep it."""
        return {
            "learner": self.name,
            "value": self.value.value,
            "gain": self.gain.value,
            "gain_standard_error": self.gain.standard_error,
            "likeness": self.likeness,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Contenders, the usual learner first."""

    contenders: Sequence[ContestEntry]

    @property
    def best(self) -> ContestEntry:
        """The other with the highest value, which noise flatters."""
        return max(self.contenders[1:], key=lambda one: one.value.value)

    @property
    def is_better(self) -> bool:
        """Whether the best of the others is better than the usual one beyond noise."""
        return is_beyond_noise(self.best.gain, len(self.contenders) - 1)

    @property
    def chosen(self) -> str:
        """Name of the best if it is better beyond noise and can be served as it is, else `USUAL`."""
        return self.best.name if self.is_better and (self.best.likeness or 0.0) >= LEAST_LIKENESS else USUAL

    @property
    def note(self) -> str:
        """What came of it, in plain words."""
        gain = self.best.gain
        if not self.is_better:
            what = "that may be noise or is less, so the usual learner stays"
        elif self.chosen == USUAL:
            what = f"but a booster says only {self.best.likeness:.0%} of it again, so the usual learner stays"
        else:
            what = f"it is used, and a booster says {self.best.likeness:.0%} of it again"
        return (
            f"of {len(self.contenders) - 1} other learners the {self.best.name} does best, by {gain.value:+,.4g}"
            f" against the usual one, standard error {gain.standard_error:,.4g}: {what}"
        )


def hold_contest(
    dataset: Dataset,
    catalogue: Catalogue,
    *,
    settings: BoosterSettings | None = None,
    contestants: Mapping[str, Contestant] = CONTESTANTS,
    on_progress: OnProgress | None = None,
) -> Contest:
    """Let all learn from a dataset.

    Args:
        dataset: Without the customers on whom the model is judged.
        catalogue: Says what is learned.
        settings: Of boosters; None for the usual ones.
        contestants: The others, by name.
        on_progress: Told how many learners are done.

    Raises:
        InvalidInputError: The log does not say how probable its choices were, so no policy can be valued.
    """
    if not dataset.is_randomised:
        raise InvalidInputError(
            "learners can only be compared on a log that says how probable its choices were; leave --contest out"
        )
    contenders, total = list[ContestEntry](), len(contestants) + 1
    usual: Learned | None = None
    for name in (USUAL, *contestants):
        learned = learn(dataset, catalogue, settings=settings, retell=retell_by(name, contestants))
        usual = usual or learned
        contenders.append(_contender(name, learned, usual))
        if on_progress is not None:
            on_progress(len(contenders), total)
    return Contest(contenders=contenders)


def _contender(name: str, learned: Learned, usual: Learned) -> ContestEntry:
    assert learned.validation is not None  # noqa: S101 - the log is randomised
    assert usual.validation is not None  # noqa: S101
    value = learned.validation.value
    gain = difference(value, usual.validation.value, usual.evidence.customers)
    return ContestEntry(name=name, value=value, gain=gain, likeness=learned.fitted.likeness)


def retell_by(name: str, contestants: Mapping[str, Contestant] = CONTESTANTS) -> Retell | None:
    """What makes `learn` believe a contestant; None for the usual learner."""
    if name == USUAL:
        return None
    contestant = contestants[name]

    def retell(
        lesson: Lesson, evidence: EffectEvidence, fitted: CrossFitted, rows: BoolArray, settings: BoosterSettings
    ) -> Retold:
        part = lesson.dataset.take(rows)
        folds = customer_folds(evidence.customers, settings.fold_count, settings.seed)
        lessons = Lessons.of(evidence, np.hstack([part.features, part.contexts]))
        effects = cross_fitted_effects(contestant, lessons, folds)
        return told_to_one_booster(lesson, part, evidence.raw[:, 0], effects, fitted, settings.seed)

    return retell


def told_to_one_booster(
    lesson: Lesson, part: Dataset, silence: FloatArray, effects: FloatArray, fitted: CrossFitted, seed: int
) -> Retold:
    """One booster that says what was estimated, and the estimates as what is known of it without its customers.

    Args:
        lesson: Names the columns.
        part: n decisions that estimates are about.
        silence: shape (n,), expected value of silence.
        effects: shape (n, k).
        fitted: The usual boosters, whose rounds and losses are kept for diagnostics.
        seed: Of draws.
    """
    rng, k = np.random.default_rng(seed + 4), effects.shape[1]
    rows = np.sort(rng.permutation(part.size)[:_MOST_TOLD])
    messages = np.argsort(rng.random((len(rows), k)), axis=1)[:, :_TOLD_MESSAGES].ravel().astype(np.int64)
    places = np.repeat(np.arange(len(rows)), min(_TOLD_MESSAGES, k))
    changes, groups = effects[rows[places], messages], column_groups(part.feature_names, lesson.catalogue)
    some = part.take(np.isin(np.arange(part.size), rows))
    numbers = _numbers_of(effects)
    told = tell(
        some, lesson.with_numbers(numbers).table, silence[rows], (places, messages), changes, groups=groups, seed=seed
    )
    retold = CrossFitted(
        text=told.booster.model_to_string(),
        scale=told.scale,
        rounds=fitted.rounds,
        raw=np.column_stack([silence, silence[:, np.newaxis] + effects]) / told.scale,
        curve=fitted.curve,
        importance=importance_of(told.booster, lesson.layout.columns),
        silence_weight=told.silence_weight,
        likeness=_likeness(changes, told.changes, messages),
    )
    return Retold(fitted=retold, numbers=numbers)


def _numbers_of(effects: FloatArray) -> FloatArray:
    """Numbers of k messages that are close where customers' effects are: the main components, shape (k, r)."""
    centred = effects - effects.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    count = min(TOLD_NUMBERS, len(values))
    main, sizes = vectors[:, ::-1][:, :count], np.sqrt(np.maximum(values[::-1][:count], 0.0))
    return main * sizes / (sizes.max() or 1.0)


def _likeness(changes: FloatArray, said: FloatArray, messages: IntArray) -> float:
    """Share of the variance of effects within messages that was said again."""
    centred, left = _centred(changes, messages), _centred(changes - said, messages)
    return 1.0 - float((left**2).mean() / (centred**2).mean()) if centred.any() else 1.0


def _centred(terms: FloatArray, messages: IntArray) -> FloatArray:
    counts = np.maximum(np.bincount(messages), 1)
    return terms - (np.bincount(messages, weights=terms) / counts)[messages]


def with_contest(bundle: ModelBundle, contest: Contest) -> ModelBundle:
    """A bundle whose notes keep who took part and what came of it."""
    return replace(bundle, notes={**bundle.notes, CONTEST_NOTE: [one.plain() for one in contest.contenders]})


def write_contest(contest: Contest, folder: Path) -> tuple[Path, ...]:
    """Write the table of all contenders; gives the file."""
    path = folder / CONTEST_FILE
    pl.DataFrame([one.plain() for one in contest.contenders]).write_csv(path)
    return (path,)
