"""What a training run says of a judgement: one number per name, as MLflow keeps them and `model list` shows them."""

from collections.abc import Mapping

from training.judgement.comparison import LOGGED_RULE, SENT_RULE, SILENCE_RULE, SINGLE_RULE
from training.judgement.from_log import TWIN, Trial
from training.judgement.uplift import UpliftReport

HELD_BACK = "held_back_"
"""What the names of all numbers about held-back customers begin with."""

HELD_BACK_VALUE = "held_back_value"
"""Value per decision of free choice by the model's twin on held-back customers, in the measure's unit."""

HELD_BACK_GAINS = {
    SILENCE_RULE: "held_back_gain_over_silence",
    SINGLE_RULE: "held_back_gain_over_best_single",
    SENT_RULE: "held_back_gain_over_all_sent",
    LOGGED_RULE: "held_back_gain_over_log",
}
"""Names of what it gains over each rule without a model, paired; the ends of intervals add `_lower` and `_upper`."""

ORDER = "held_back_order_over_chance"
"""Twice the area between gain curve and straight line; 0 where customers are ordered by chance."""


def judged_metrics(trial: Trial) -> dict[str, float]:
    """Every number of a trial by name."""
    judgement, curve = trial.judgement, trial.curve
    estimates = {HELD_BACK_VALUE: judgement.value(TWIN)}
    estimates |= {HELD_BACK_GAINS[rule]: judgement.gain(TWIN, rule) for rule in judgement.rules}
    found = {
        ORDER: curve.area,
        f"{ORDER}_lower": curve.area_lower,
        f"{ORDER}_upper": curve.area_upper,
        "held_back_decisions": float(judgement.decisions),
        "held_back_customers": float(judgement.customer_count),
        "held_back_support": judgement.support,
    }
    for name, one in estimates.items():
        found |= {name: one.value, f"{name}_lower": one.lower, f"{name}_upper": one.upper}
    return found


def uplift_metrics(report: UpliftReport) -> dict[str, float]:
    """Every number of an uplift report by name; the whole report is kept beside the run as a table."""
    named = {
        "uplift_qini": report.model.qini,
        "uplift_qini_share": report.model.qini_share,
        "uplift_auuc": report.model.auuc,
        "uplift_slope": report.model.slope,
        "uplift_net_gain": report.model.net_stop,
        "uplift_qini_over_champion": report.over_incumbent.get("qini"),
        "uplift_net_gain_over_champion": report.over_incumbent.get("net_stop"),
        "uplift_net_gain_over_best_single": report.over_constant.get("net_stop"),
    }
    found = {"uplift_decisions": float(report.decisions), "uplift_calibration_error": report.model.calibration_error}
    for name, one in named.items():
        if one is not None:
            found |= {name: one.value, f"{name}_lower": one.ends[0], f"{name}_upper": one.ends[1]}
    return found


def surely_below(metrics: Mapping[str, float]) -> str | None:
    """The rule without a model that a model is worse than beyond noise; None where there is none."""
    below = (rule for rule, name in HELD_BACK_GAINS.items() if metrics.get(f"{name}_upper", 0.0) < 0)
    return next(below, None)


def is_below_all(metrics: Mapping[str, float]) -> bool:
    """Whether a model is estimated to be worse than every rule without a model, so that nothing speaks for it."""
    gains = [metrics[name] for name in HELD_BACK_GAINS.values() if name in metrics]
    return bool(gains) and max(gains) < 0
