"""What was expected of each unit before it was treated: one covariate made of many, which takes noise away (CUPED).

Units are predicted by a ridge regression that did not see them, fitted to all arms together without knowing the arm.
Such a covariate leaves the estimate unbiased whatever it is worth, and an interval around it valid.

Reference:
    Guo, Coey, Konutgan, Li, Schoener and Goldman (2021), Machine learning for variance reduction in online experiments.
"""

import numpy as np
import polars as pl
from scipy.stats import f_oneway

from decisioning.arrays import FloatArray
from features.reports.readout_words import format_p
from features.reports.readouts import Check, Health

MIN_UNITS = 200
"""Fewer units say too little about what to expect."""

_FOLDS = 5
_ALARM_BELOW = 0.001
_TITLE = "Covariates from before the experiment"


def with_covariate(values: pl.DataFrame, known: FloatArray) -> tuple[pl.DataFrame, Check | None]:
    """Add what was expected of each unit.

    Args:
        values: One row per unit with `arm` and `value` (Float64, null where unknown).
        known: shape (n, d), what was known of the same units beforehand; NaN where it was missing, which is a fact of
            its own.

    Returns:
        The rows, with `covariate` where that is of use; and a check, None where nothing was known. Covariates that
        differ between arms by more than chance are not from before the experiment, and are not used.
    """
    usable = known[:, [len(np.unique(column)) > 1 for column in known.T]]
    has_value = values["value"].is_not_null().to_numpy()
    if not usable.shape[1] or has_value.sum() < MIN_UNITS:
        return values, None
    expected = _expected(usable, values["value"].to_numpy(), has_value)
    if not np.ptp(expected[has_value]):
        return values, None
    arms = values["arm"].to_numpy()
    groups = [expected[(arms == arm) & has_value] for arm in np.unique(arms[has_value])]
    p = float(f_oneway(*groups).pvalue) if len(groups) > 1 and min(map(len, groups)) > 1 else 1.0
    if p < _ALARM_BELOW:
        message = (
            f"What is known of the units differs between arms by more than chance (p {format_p(p)}): it may be of a "
            "time after they were treated. Differences are not adjusted for it."
        )
        return values, Check(title=_TITLE, status=Health.WARN, message=message)
    message = f"What was known of the units beforehand is alike in all arms (p {format_p(p)})."
    return values.with_columns(covariate=pl.Series(expected)), Check(title=_TITLE, status=Health.OK, message=message)


def _expected(known: FloatArray, values: FloatArray, has_value: np.ndarray) -> FloatArray:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fold = np.random.default_rng(len(values)).permutation(len(values)) % _FOLDS
    expected = np.empty(len(values))
    for number in range(_FOLDS):
        model = make_pipeline(
            SimpleImputer(add_indicator=True, keep_empty_features=True),
            StandardScaler(),
            RidgeCV(np.logspace(0, 4, 9)),
        )
        seen = (fold != number) & has_value
        model.fit(known[seen], values[seen])
        expected[fold == number] = model.predict(known[fold == number])
    return expected
