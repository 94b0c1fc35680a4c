"""Sample-ratio mismatch: if the split does not match the declared shares, no comparison is fair."""

from collections.abc import Mapping

from scipy.stats import chisquare

from decisioning.catalogue.experiment import Inference
from features.reports.readout_words import format_number, format_p
from features.reports.readouts import Health, SampleRatio
from training.experiments.sequences import split_p_value

WARN_BELOW = 0.01
ALARM_BELOW = 0.001
ALARM_AT_ANY_LOOK = 0.01
MIN_EXPECTED_COUNT = 5.0


def check_sample_ratio(
    counts: Mapping[str, int],
    shares: Mapping[str, float],
    population: str,
    inference: Inference = Inference.SEQUENTIAL,
) -> SampleRatio:
    """Does the split match the declared shares, however often it is looked at?

    An alarm holds at every look; a warning comes from a chi-square test (without continuity correction) of this look.

    Args:
        counts: Customers per arm.
        shares: Declared share per arm, the same arms; positive, summing to 1.
        population: Whom the counts are of, in words.
        inference: `fixed` has chi-square raise the alarm too, which holds for one look.

    Returns:
        `ok`, `warn` (chi-square's p below 0.01), `alarm` (`sequences.split_p_value` below 0.01), or `unknown` where
        fewer than five customers are expected in an arm. `p_value` is that of the status.

    Reference:
        Fabijan et al. (2019), Diagnosing sample ratio mismatch in online controlled experiments, section 2; Lindon and
        Malek (2022), Anytime-valid inference for multinomial count data.

    Example:
        >>> check_sample_ratio({"a": 44700, "b": 45489}, {"a": 0.5, "b": 0.5}, "players").status
        <Health.WARN: 'warn'>
    """
    total = sum(counts.values())
    expected = {arm: share * total for arm, share in shares.items()}
    if not expected or min(expected.values()) < MIN_EXPECTED_COUNT:
        return SampleRatio(
            population=population, status=Health.UNKNOWN, p_value=None, message="Too few customers to check the split."
        )
    p_value = float(chisquare([counts[arm] for arm in expected], list(expected.values())).pvalue)
    at_any_look = split_p_value(counts, {arm: share / sum(shares.values()) for arm, share in shares.items()})
    status = Health.WARN if p_value < WARN_BELOW else Health.OK
    if inference is Inference.SEQUENTIAL and at_any_look < ALARM_AT_ANY_LOOK:
        status, p_value = Health.ALARM, at_any_look
    if inference is Inference.FIXED and p_value < ALARM_BELOW:
        status = Health.ALARM
    return SampleRatio(
        population=population,
        status=status,
        p_value=p_value,
        message=_message(status, _split(counts, expected), format_p(p_value)),
    )


def _split(counts: Mapping[str, int], expected: Mapping[str, float]) -> str:
    return ", ".join(
        f"{arm} {format_number(counts[arm])} where {format_number(expected[arm])} were expected" for arm in expected
    )


def _message(status: Health, split: str, p_value: str) -> str:
    if status is Health.ALARM:
        return f"The split is off: {split} (p {p_value}). Something removes customers unevenly; find it first."
    if status is Health.WARN:
        return (
            f"The split is further from the declared shares than chance usually gives: {split} (p {p_value}, "
            "this look alone). Look for a cause before acting on the numbers."
        )
    return f"The split matches the declared shares: {split} (p {p_value})."
