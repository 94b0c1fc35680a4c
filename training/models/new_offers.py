"""The expected effect of an offer that was never sent, predicted from its attributes with strong shrinkage."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import compress

import numpy as np

from decisioning.arrays import FloatArray
from decisioning.effects.message_coding import MessageCoding

FEWEST_MESSAGES = 4
"""Fewer messages say nothing about attributes: a new offer is then expected to be like the mean."""

PENALTY = 1.0
"""Of the ridge regression, on standardised columns weighted to one observation per message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """What is expected of a message never seen: a start, and slopes as in `MessageCoding.prior_slopes`."""

    start: float
    slopes: Mapping[str, float]


def prior_of(coding: MessageCoding, described: FloatArray, numbers: FloatArray, shares: FloatArray) -> Prior:
    """Ridge regression of a number per message on what the messages are.

    A message of which nothing is known is expected to be like the mean of those that are known.

    Args:
        coding: Names the columns and says which hold codes.
        described: shape (k, m), message columns.
        numbers: shape (k,), what is to be expected of a new message.
        shares: shape (k,), how often each was sent.
    """
    mean = float(np.average(numbers, weights=shares))
    names, columns = _terms(coding, described)
    spread = columns.std(axis=0) if len(numbers) >= FEWEST_MESSAGES else np.zeros(len(names))
    kept = spread > 0
    if not kept.any():
        return Prior(start=mean, slopes={})
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=PENALTY * len(numbers))
    model.fit(columns[:, kept] / spread[kept], numbers, sample_weight=shares * len(shares) / shares.sum())
    slopes = dict(zip(compress(names, kept), (model.coef_ / spread[kept]).tolist(), strict=True))
    centres = dict(zip(names, np.average(columns, axis=0, weights=shares).tolist(), strict=True))
    return _centred(mean, slopes, centres)


def _centred(mean: float, slopes: dict[str, float], centres: Mapping[str, float]) -> Prior:
    """Slopes of codes with a mean of zero over what was sent, so that an unknown code changes nothing."""
    for column in {name.partition("=")[0] for name in slopes if "=" in name}:
        codes = [name for name in centres if name.partition("=")[0] == column]
        shift = sum(slopes.get(name, 0.0) * centres[name] for name in codes)
        slopes |= {name: slopes.get(name, 0.0) - shift for name in codes}
    numbers = sum(slope * centres[name] for name, slope in slopes.items() if "=" not in name)
    return Prior(start=mean - numbers, slopes=slopes)


def number_ranges(
    coding: MessageCoding, described: FloatArray, shares: FloatArray
) -> dict[str, tuple[float, float, float]]:
    """Lowest, mean and highest number per column that holds numbers; see `MessageCoding.number_ranges`."""
    ranges: dict[str, tuple[float, float, float]] = {}
    for place, name in enumerate(coding.described_columns[1:], start=1):
        column = described[:, place]
        known = np.isfinite(column)
        if name not in coding.code_columns and known.any():
            mean = float(np.average(column[known], weights=shares[known]))
            ranges[name] = (float(column[known].min()), mean, float(column[known].max()))
    return ranges


def _terms(coding: MessageCoding, described: FloatArray) -> tuple[list[str], FloatArray]:
    """Columns as `decisioning.value_model` reads slopes: an indicator per code; numbers, a missing one as the mean."""
    names: list[str] = []
    columns: list[FloatArray] = []
    for place, name in enumerate(coding.described_columns[1:], start=1):
        column = described[:, place]
        known = np.isfinite(column)
        if name in coding.code_columns:
            codes = np.unique(column[known])
            names += [f"{name}={int(code)}" for code in codes]
            columns += [(column == code).astype(np.float64) for code in codes]
        elif known.any():
            names.append(name)
            columns.append(np.where(known, column, column[known].mean()))
    return names, np.column_stack(columns) if columns else np.empty((len(described), 0))
