"""How soon the outcomes of a window arrive, after silence and after a message on each channel.

Outcomes take the whole window to mature. A decision of ten minutes ago with nothing to show yet is no evidence that its
message does nothing, and mail takes longer than a push. So evidence counts by the share of the window's outcomes that
usually has arrived by then, learned with every training from decisions whose window is over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from decisioning.arrays import FloatArray
from decisioning.catalogue.measure import Measure
from decisioning.catalogue.message import SILENCE, message_parts
from features.history import History
from training.data.measures import UNTIL, decision_values

AGES = tuple(2.0**-power for power in range(13, -1, -1))
"""Shares of the window at which arrivals are looked at: from a minute of a week on, each twice as long."""

SMOOTHED = 20.0
"""Outcomes of any message that count for a channel's own, so that a channel with few is taken to be like the others."""

ANY_CHANNEL = ""

_EVEN, _EVEN_SHARE = 5.0, 0.01
"""Outcomes, and a share of all, that are taken to be spread evenly over the window: nothing is thought impossible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Shares of a window's outcomes that have arrived at each of `AGES`, by channel.

    Attributes:
        curves: Rising to 1 each; `silence` for no message, `ANY_CHANNEL` for a channel that has none of its own.
    """

    curves: Mapping[str, tuple[float, ...]]

    def share(self, channel_id: str, ages: FloatArray) -> FloatArray:
        """Share that has arrived at some ages, in windows; straight between what is known, 0 at the start."""
        curve = self.curves.get(channel_id) or self.curves[ANY_CHANNEL]
        return np.interp(ages, (0.0, *AGES), (0.0, *curve))


def channel_of(message_key: str) -> str:
    """Channel of a message key; `silence` for silence."""
    parts = message_parts(message_key)
    return SILENCE if parts is None else parts.channel_id


def arrivals_of(history: History, decisions: pl.DataFrame, measure: Measure, *, span_days: float) -> Arrivals:
    """Learn arrivals from decisions whose window is over.

    Args:
        history: Canonical tables.
        decisions: `decision_id`, `customer_id`, `starts_at`, `ends_at`, `message_key`.
        measure: What is counted.
        span_days: Days after a decision until nothing changes what it is worth: the window that ages are shares of.
    """
    totals = _totals(history, decisions, measure, span_days)
    by_channel = {channel: totals[rows].sum(axis=0) for channel, rows in _rows_by_channel(decisions).items()}
    width = len(AGES)
    messages = sum((one for channel, one in by_channel.items() if channel != SILENCE), np.zeros(width))
    typical = _typical(totals)
    usual = _curve(_with_even(messages, typical))
    curves = {
        channel: _curve(_with_even(one, typical) + SMOOTHED * typical * np.array(usual))
        for channel, one in by_channel.items()
        if channel != SILENCE
    }
    silence = _curve(_with_even(by_channel.get(SILENCE, np.zeros(width)), typical))
    return Arrivals(curves={**curves, ANY_CHANNEL: usual, SILENCE: silence})


def _totals(history: History, decisions: pl.DataFrame, measure: Measure, span_days: float) -> FloatArray:
    """What each decision brought by each age: shape (n, ages)."""
    columns: list[FloatArray] = []
    for age in AGES:
        until = pl.col("starts_at") + timedelta(days=span_days * age)
        rows = decisions.select("decision_id", "customer_id", "starts_at", "ends_at", until.alias(UNTIL))
        columns.append(decision_values(history, rows, measure, cap=True)["value"].to_numpy())
    return np.column_stack(columns)


def _rows_by_channel(decisions: pl.DataFrame) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for place, key in enumerate(decisions["message_key"].fill_null(SILENCE)):
        rows.setdefault(channel_of(key), []).append(place)
    return rows


def _with_even(totals: FloatArray, typical: float) -> FloatArray:
    return totals + (_EVEN * typical + _EVEN_SHARE * max(totals[-1], 0.0)) * np.array(AGES)


def _typical(totals: FloatArray) -> float:
    """Mean size of what decisions brought, of those that brought anything."""
    last = np.abs(totals[:, -1]) if len(totals) else np.zeros(0)
    return float(last[last > 0].mean()) if (last > 0).any() else 1.0


def _curve(totals: FloatArray) -> tuple[float, ...]:
    """Sums as shares of the last, rising; returns can take back what had arrived."""
    if totals[-1] <= 0:
        return AGES
    rising = np.maximum.accumulate(np.clip(totals / totals[-1], 0.0, 1.0))
    return tuple(rising.tolist())
