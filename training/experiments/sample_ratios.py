"""Sample-ratio mismatch: if the split does not match the declared shares, no comparison is fair."""

from collections.abc import Mapping

from scipy.stats import chisquare

from features.reports.readout_words import format_number, format_p
from features.reports.readouts import Health, SampleRatio

WARN_BELOW = 0.01
ALARM_BELOW = 0.001
MIN_EXPECTED_COUNT = 5.0


def check_sample_ratio(counts: Mapping[str, int], shares: Mapping[str, float], population: str) -> SampleRatio:
    """Chi-square test of the split against the declared shares, without continuity correction.

    Args:
        counts: Customers per arm.
        shares: Declared share per arm, the same arms; positive, summing to 1.
        population: Whom the counts are of, in words.

    Returns:
        `ok`, `warn` (p below 0.01), `alarm` (p below 0.001), or `unknown` where fewer than five customers are expected
        in an arm and the test does not hold.

    Reference:
        Fabijan et al. (2019), Diagnosing sample ratio mismatch in online controlled experiments, section 2.

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
    status = Health.ALARM if p_value < ALARM_BELOW else Health.WARN if p_value < WARN_BELOW else Health.OK
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
            "between 0.001 and 0.01). Look for a cause before acting on the numbers."
        )
    return f"The split matches the declared shares: {split} (p {p_value})."
