"""What was measured of a model: numbers for MLflow, and two plots."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from decisioning.arrays import FloatArray
from training.judgement.baselines import forward_metrics, linear_r2, r2
from training.models.effects import EffectEvidence
from training.models.learner import Learned
from training.models.validation import Validation
from training.off_policy.estimators import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BINS = 10
_SHOWN_COLUMNS = 20


def metrics_of(learned: Learned) -> dict[str, float]:
    """Every number of a training run by name; money in minor units per decision."""
    evidence = learned.evidence
    predicted = own_values(learned.parts.values(evidence.raw, evidence.linear, evidence.slopes), evidence)
    metrics = {
        "cv_r2": r2(evidence.values, predicted),
        "cv_r2_linear": linear_r2(learned.dataset, learned.settings.seed),
        "cv_calibration_error": calibration_error(evidence.values, predicted),
        "cv_loss": float(learned.fitted.curve.min()),
        "rounds": float(learned.fitted.rounds),
        "mean_effect": learned.effects.mean_effect.value,
        "common_slope": learned.effects.common.value,
        "common_slope_error": learned.effects.common.standard_error,
        "specific_slope": learned.effects.specific.value,
        "specific_slope_error": learned.effects.specific.standard_error,
        "specific_share": learned.specific_share,
        **_effect_metrics(learned),
        **_validation_metrics(learned.validation),
        **forward_metrics(learned),
    }
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


def _effect_metrics(learned: Learned) -> dict[str, float]:
    keys = [key.replace("/", ".") for key in learned.dataset.keys[1:]]
    return {f"effect.{key}": value for key, value in zip(keys, learned.effects.averages.tolist(), strict=True)}


def _validation_metrics(found: Validation | None) -> dict[str, float]:
    """Nothing where the log has no action probabilities: a guess is no value."""
    if found is None:
        return {}
    gain = found.gain_over_constant
    single = {} if gain is None else _with_ends("validation_gain_over_best_constant", gain)
    constant = {} if found.constant is None else {"validation_best_constant": found.constant.value}
    return {
        **_with_ends("validation_value", found.value),
        **_with_ends("validation_gain_over_silence", found.gain_over_silence),
        **single,
        **constant,
        "validation_silence": found.silence.value,
        "validation_logged": found.logged,
        "validation_predicted_over_realised": found.predicted_over_realised,
        "validation_predicted_gain_over_realised": found.predicted_gain_over_realised,
        "validation_deviation_share": found.deviation_share,
    }


def _with_ends(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_lower": estimate.lower, f"{name}_upper": estimate.upper}


def own_values(values: FloatArray, evidence: EffectEvidence) -> FloatArray:
    """Predicted value of what was chosen, shape (n,)."""
    return np.take_along_axis(values, evidence.actions[:, np.newaxis], axis=1)[:, 0]


def calibration_error(values: FloatArray, predicted: FloatArray) -> float:
    """Mean distance of predicted from realised means over ten equal groups by prediction, in the measure's unit."""
    means = calibration_groups(values, predicted)
    return float(np.abs(means[:, 0] - means[:, 1]).mean())


def calibration_groups(values: FloatArray, predicted: FloatArray) -> FloatArray:
    """Mean prediction, mean value and its standard error per tenth of decisions by prediction: shape (10, 3)."""
    groups = np.array_split(np.argsort(predicted, kind="stable"), _BINS)
    return np.array(
        [[predicted[one].mean(), values[one].mean(), values[one].std() / np.sqrt(len(one))] for one in groups]
    )


def write_plots(learned: Learned, folder: Path) -> tuple[Path, ...]:
    """Draw calibration and importance; gives the files."""
    from matplotlib.figure import Figure

    drawings: dict[str, Callable[[Axes], None]] = {
        "calibration": lambda axes: _draw_calibration(axes, learned),
        "importance": lambda axes: _draw_importance(axes, learned),
    }
    paths: list[Path] = []
    for name, draw in drawings.items():
        figure = Figure(figsize=(7, 5), layout="constrained")
        draw(figure.add_subplot())
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=110)
    return tuple(paths)


def _draw_calibration(axes: "Axes", learned: Learned) -> None:
    evidence = learned.evidence
    groups = calibration_groups(
        evidence.values, own_values(learned.parts.values(evidence.raw, evidence.linear, evidence.slopes), evidence)
    )
    axes.errorbar(groups[:, 0], groups[:, 1], yerr=1.96 * groups[:, 2], fmt="o", capsize=3, label="tenths of decisions")
    ends = [float(groups[:, :2].min()), float(groups[:, :2].max())]
    axes.plot(ends, ends, color="grey", linewidth=1, label="predicted = realised")
    axes.set(title="Calibration on customers not trained on", xlabel="predicted value", ylabel="realised value")
    axes.legend()


def _draw_importance(axes: "Axes", learned: Learned) -> None:
    ranked = sorted(learned.fitted.importance.items(), key=lambda one: one[1])[-_SHOWN_COLUMNS:]
    axes.barh([name for name, _ in ranked], [share for _, share in ranked])
    axes.set(title="What the booster looks at", xlabel="share of gain")
