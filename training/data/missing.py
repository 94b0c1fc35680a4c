"""Training rows with missing features, for customers with less data than those in the log.

A booster that never met a missing value takes one for a zero, and a customer whose features are too old to be used
would look like one who never bought anything. So some rows are shown to it a second time with groups of features
missing: the groups that serving loses together when they are stale, and all of them, as for a newcomer. What came of
these decisions stays as it was, so that what a missing value means is the mean of those it may stand for.
"""

from collections.abc import Sequence

import numpy as np

from decisioning.arrays import FloatArray, IntArray
from decisioning.catalogue.catalogue import Catalogue
from features.computing.feature_set import feature_schema

COPIED_SHARE = 0.1
"""Share of rows that are shown again with something missing."""

_NEWCOMERS = 1 / 3  # of the copies, nothing is known at all
_STALE = 0.5  # chance of each group to be missing in the others


def column_groups(names: Sequence[str], catalogue: Catalogue) -> IntArray:
    """Which columns go missing together, shape (d,): a number per group; what no group declares is one of its own."""
    of_feature = {
        name: place for place, group in enumerate(feature_schema(catalogue).groups) for name in group.features
    }
    return np.array([of_feature.get(name, len(of_feature)) for name in names], dtype=np.int64)


def copies_with_missing(features: FloatArray, groups: IntArray, seed: int) -> tuple[IntArray, FloatArray]:
    """Rows to show again: which, shape (c,), and their features with groups missing, shape (c, d).

    Args:
        features: shape (n, d).
        groups: shape (d,), from `column_groups`.
        seed: Of the draw.
    """
    rng, (count, width) = np.random.default_rng(seed), features.shape
    rows = np.sort(rng.permutation(count)[: int(np.ceil(count * COPIED_SHARE))])
    if not width:
        return rows[:0], features[:0]
    numbers, places = np.unique(groups, return_inverse=True)
    is_missing = rng.random((len(rows), len(numbers))) < _STALE
    is_missing[rng.random(len(rows)) < _NEWCOMERS] = True
    is_missing[np.arange(len(rows)), rng.integers(0, len(numbers), len(rows))] = True  # at least one
    return rows, np.where(is_missing[:, places], np.nan, features[rows])
