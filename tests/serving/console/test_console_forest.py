"""Where the marks of a forest plot go."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.reports.readouts import ArmComparison, Effect, Metric, ReadoutUnit, Refusal, RefusalCode
from serving.console.forest import forest_of


def comparison(arm: str, lower: float, upper: float) -> ArmComparison:
    effect = Effect(
        difference=(lower + upper) / 2,
        standard_error=1.0,
        lower=lower,
        upper=upper,
        p_value=0.5,
        adjusted_p_value=0.5,
        relative=None,
    )
    return ArmComparison(arm_id=arm, effect=effect, refusal=None, is_conclusive=False, sentence=f"{arm}.")


def metric(*comparisons: ArmComparison, unit: ReadoutUnit = ReadoutUnit.NUMBER, currency: str | None = None) -> Metric:
    return Metric(
        metric_id="worth", unit=unit, currency=currency, is_primary=True, arms=(), comparisons=tuple(comparisons)
    )


widths = st.floats(1e-6, 1e6)
ends = st.tuples(st.floats(-1e6, 1e6), widths).map(lambda pair: (pair[0], pair[0] + pair[1]))


@settings(max_examples=60, deadline=None)
@given(st.lists(ends, min_size=1, max_size=4), st.sampled_from(list(ReadoutUnit)))
def test_positions_are_linear_in_the_numbers_and_inside_the_plot(
    intervals: list[tuple[float, float]], unit: ReadoutUnit
):
    plot = forest_of(
        metric(*(comparison(str(i), *each) for i, each in enumerate(intervals)), unit=unit, currency="EUR")
    )
    assert plot is not None
    low, high = min(0.0, *(a for a, _ in intervals)), max(0.0, *(b for _, b in intervals))
    room = 0.06 * (high - low)

    def expected(value: float) -> float:
        return 100 * (value - low + room) / (high - low + 2 * room)

    assert plot.zero == pytest.approx(expected(0.0), abs=1e-2)
    for row, (lower, upper) in zip(plot.rows, intervals, strict=True):
        assert row.lower is not None
        assert row.point is not None
        assert row.upper is not None
        assert (row.lower, row.upper) == pytest.approx((expected(lower), expected(upper)), abs=1e-2)
        assert 0 <= row.lower <= row.point <= row.upper <= 100
    assert 2 <= len(plot.ticks) <= 12
    assert all(0 <= tick.position <= 100 for tick in plot.ticks)
    assert len({tick.label for tick in plot.ticks}) == len(plot.ticks)


def test_ticks_are_round_numbers_in_displayed_units():
    rates = forest_of(metric(comparison("b", 0.0688, 0.0846), unit=ReadoutUnit.RATE))
    money = forest_of(metric(comparison("b", -15.0, 80.0), unit=ReadoutUnit.MONEY_MINOR, currency="EUR"))
    assert rates is not None
    assert money is not None
    assert [tick.label for tick in rates.ticks] == ["0", "2", "4", "6", "8"]
    assert [tick.label for tick in money.ticks] == ["0.0", "0.5"]
    assert rates.axis == "in percentage points"
    assert money.axis == "in EUR per customer"


def test_an_arm_without_a_number_has_a_row_and_no_marks():
    refusal = Refusal(code=RefusalCode.NO_VARIANCE, message="all the same")
    refused = ArmComparison(arm_id="c", effect=None, refusal=refusal, is_conclusive=False, sentence="No number for c.")
    plot = forest_of(metric(comparison("b", -1, 1), refused))
    assert plot is not None
    assert plot.rows[1].point is None
    assert plot.rows[1].difference == "no number"
    assert forest_of(metric(refused)) is None
