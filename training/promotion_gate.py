"""May a candidate follow the champion? What both were worth to validation customers decides."""

from collections.abc import Mapping
from math import hypot, isfinite
from typing import TYPE_CHECKING

from decisioning.errors import InsufficientDataError, InvalidInputError
from features.model_registry import MODEL_NAME, Registered

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

VALUE = "validation_value"
"""Doubly robust value of the greedy policy on validation customers, in the measure's unit per decision."""

VALUE_LOWER = "validation_value_lower"
VALUE_UPPER = "validation_value_upper"
GAIN = "validation_gain_over_best_constant"
GAIN_LOWER = "validation_gain_over_best_constant_lower"

_QUANTILE = 1.959963984540054  # of the normal distribution, for 95 % intervals


def compare(client: "MlflowClient", candidate: "ModelVersion", champion: Registered | None) -> str:
    """Why the candidate may follow the champion, in words.

    Raises:
        InvalidInputError: It may not.
        InsufficientDataError: Nobody can tell.
    """
    if champion is None:
        return "the first champion"
    former = client.get_model_version(MODEL_NAME, champion.version)
    _check_comparable(candidate, former)
    ours, theirs = (_interval(client, one) for one in (candidate, former))
    gap, error = ours[0] - theirs[0], hypot(ours[1], theirs[1])
    words = f"{VALUE} {ours[0]:,.4g} after {theirs[0]:,.4g}, difference {gap:+,.4g} with standard error {error:,.3g}"
    if gap < -_QUANTILE * error:
        raise InvalidInputError(
            f"candidate {candidate.version} must not be worse than champion {champion.version} beyond noise,"
            f" got {words}; keep the champion, or overrule with --force --reason"
        )
    _check_gain(client, candidate)
    return f"not worse than {champion.version} beyond noise: {words}"


def _check_comparable(candidate: "ModelVersion", champion: "ModelVersion") -> None:
    for tag in ("measure", "window_days"):
        if candidate.tags.get(tag) != champion.tags.get(tag):
            raise InsufficientDataError(
                f"candidate {candidate.version} must have the champion's {tag} ({champion.tags.get(tag)}) to be"
                f" compared, got {candidate.tags.get(tag)}; overrule with --force --reason"
            )


def _check_gain(client: "MlflowClient", candidate: "ModelVersion") -> None:
    """Refuse what is surely worse than sending everybody the best single message."""
    metrics = metrics_of(client, candidate.run_id)
    gain, lower = metrics.get(GAIN), metrics.get(GAIN_LOWER)
    if gain is not None and lower is not None and gain + (gain - lower) < 0:
        raise InvalidInputError(
            f"candidate {candidate.version} must not be worse than the best single message for everybody, got"
            f" {gain:+,.4g} (95 % interval up to {2 * gain - lower:+,.4g}); keep the champion, or overrule with"
            " --force --reason"
        )


def _interval(client: "MlflowClient", version: "ModelVersion") -> tuple[float, float]:
    """Value on validation customers and its standard error."""
    metrics = metrics_of(client, version.run_id)
    found = [metrics.get(name) for name in (VALUE, VALUE_LOWER, VALUE_UPPER)]
    numbers = [one for one in found if one is not None and isfinite(one)]
    if len(numbers) != len(found):
        raise InsufficientDataError(
            f"model version {version.version} must have the metrics {VALUE}, {VALUE_LOWER} and {VALUE_UPPER} to be"
            " compared, got fewer; train with more decisions that have an action probability, or overrule with"
            " --force --reason"
        )
    value, lower, upper = numbers
    return value, (upper - lower) / (2 * _QUANTILE)


def metrics_of(client: "MlflowClient", run_id: str | None) -> Mapping[str, float]:
    """What was measured in a run; nothing where there is no run."""
    return client.get_run(run_id).data.metrics if run_id else {}
