"""Settings of boosters, searched for by what the policy they lead to is worth.

A trial trains a model with other settings, and values its free choice on customers that its boosters did not see:
doubly robust, net of contacts, on the same decisions for all trials. Most differences between settings are noise, and
the best of many looks better than it is. So the usual settings stay unless the best gains more than they do beyond
noise, at a level that is shared among all trials (Bonferroni).

Reference:
    Akiba, Sano, Yanase, Ohta and Koyama (2019), "Optuna: a next-generation hyperparameter optimization framework";
    Bergstra et al. (2011), "Algorithms for hyper-parameter optimization", for the sampler.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from scipy.stats import norm

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError
from features.progress import OnProgress
from training.data.datasets import Dataset, learning_of
from training.models.boosting import BoosterSettings, settings_for
from training.models.learner import learn
from training.off_policy.estimators import Estimate, difference

if TYPE_CHECKING:
    import optuna

TRIALS_FILE = "trials.csv"
_DOUBT = 0.05  # chance that what is usual is replaced although nothing is better
_MOST_ROUNDS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Settings that were tried.

    Attributes:
        value: Of the policy's free choice per decision, cross-validated.
        gain: Over the usual settings, paired by customer.
    """

    settings: BoosterSettings
    value: Estimate
    gain: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsSearch:
    """Attempts in the order in which they were made, the usual settings first."""

    attempts: Sequence[Attempt]

    @property
    def best(self) -> Attempt:
        """The attempt with the highest value, which noise flatters."""
        return max(self.attempts, key=lambda one: one.value.value)

    @property
    def is_better(self) -> bool:
        """Whether the best gains more than the usual settings beyond noise."""
        return is_beyond_noise(self.best.gain, len(self.attempts))

    @property
    def chosen(self) -> BoosterSettings:
        """The best settings if they are better, else the usual ones."""
        return (self.best if self.is_better else self.attempts[0]).settings

    @property
    def note(self) -> str:
        """What came of it, in plain words."""
        gain = self.best.gain
        what = "they are used" if self.is_better else "that may be noise, so the usual settings stay"
        return (
            f"of {len(self.attempts)} settings the best is worth {gain.value:+,.4g} more than the usual ones, standard"
            f" error {gain.standard_error:,.4g}: {what}"
        )


def is_beyond_noise(gain: Estimate, tries: int) -> bool:
    """Whether the best of so many gains, all over the same, is no luck (Bonferroni)."""
    return gain.value > float(norm.ppf(1 - _DOUBT / tries)) * gain.standard_error


def search_settings(
    dataset: Dataset, catalogue: Catalogue, *, trials: int, on_progress: OnProgress | None = None
) -> SettingsSearch:
    """Try settings.

    Args:
        dataset: Without the customers on whom the model is judged.
        catalogue: Says what is learned.
        trials: Settings to try, the usual ones included.
        on_progress: Told how many were tried.

    Raises:
        InvalidInputError: The log does not say how probable its choices were, so no policy can be valued.
    """
    import optuna  # takes a second; only a search pays for it

    if not dataset.is_randomised:
        raise InvalidInputError(
            "settings can only be compared on a log that says how probable its choices were; leave --trials out"
        )
    usual = settings_for(dataset, learning_of(catalogue)[1])
    values: list[Estimate] = []
    attempts: list[Attempt] = []

    def worth(trial: "optuna.Trial") -> float:
        settings = usual if not attempts else _drawn(trial, usual)
        learned = learn(dataset, catalogue, settings=settings)
        assert learned.validation is not None  # noqa: S101 - the log is randomised
        value = learned.validation.value
        values.append(value)
        gain = difference(value, values[0], learned.evidence.customers)
        attempts.append(Attempt(settings=settings, value=value, gain=gain))
        if on_progress is not None:
            on_progress(len(attempts), trials)
        return value.value

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=usual.seed))
    study.optimize(worth, n_trials=trials)
    return SettingsSearch(attempts=attempts)


def _drawn(trial: "optuna.Trial", usual: BoosterSettings) -> BoosterSettings:
    return replace(
        usual,
        most_rounds=_MOST_ROUNDS,
        learning_rate=trial.suggest_float("learning_rate", 0.04, 0.3, log=True),
        leaves=trial.suggest_int("leaves", 4, 63, log=True),
        smallest_leaf=trial.suggest_int("smallest_leaf", 20, 500, log=True),
        feature_share=trial.suggest_float("feature_share", 0.3, 1.0),
        ridge=trial.suggest_float("ridge", 0.5, 50.0, log=True),
    )


def write_trials(search: SettingsSearch, folder: Path) -> tuple[Path, ...]:
    """Write the table of all attempts; gives the file."""
    path = folder / TRIALS_FILE
    rows = [
        {
            "trial": place,
            **one.settings.parameters(),
            "most_rounds": one.settings.most_rounds,
            "value": one.value.value,
            "gain": one.gain.value,
            "gain_standard_error": one.gain.standard_error,
        }
        for place, one in enumerate(search.attempts, start=1)
    ]
    pl.DataFrame(rows).write_csv(path)
    return (path,)
