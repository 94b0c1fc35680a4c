"""What a policy is worth within limits, against drawing at random within the same limits."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from decisioning.arrays import IndexArray
from decisioning.catalogue.catalogue import Catalogue
from features.catalogue.building.money import to_minor
from features.history import History
from pipelines.audit.wave_plan import LimitedPolicy, PlannedWave, WaveLimits
from training.off_policy.evaluation import Judged, rows_of
from training.off_policy.output import pair_document, value_document
from training.off_policy.policy_values import SILENT, PolicyValue, paired, value_of
from training.off_policy.rewards import Reward

LIMITED, RANDOM = "within_limits", "random_within_limits"


def limited_document(
    judged: Judged,
    planned: LimitedPolicy,
    history: History,
    catalogue: Catalogue,
    reward: Reward,
    limits: WaveLimits,
) -> dict[str, Any]:
    """Values within limits as plain values; amounts are in major units of the currency.

    Args:
        judged: Decisions that have an action probability.
        planned: What is sent at each of them.
        history: Where rewards are read.
        catalogue: Declares limits and costs.
        reward: What counts.
        limits: What was asked for.

    Raises:
        InsufficientDataError: A reward that never happens, or limits within which the log says too little.
    """
    rows = rows_of(judged, history, catalogue, reward)
    width = len(rows.keys)
    one_hot = np.eye(width)
    targets = {
        LIMITED: one_hot[planned.planned],
        RANDOM: planned.random,
        SILENT: np.broadcast_to(one_hot[0], planned.random.shape),
    }
    values = {name: value_of(rows, name, target, must=name == LIMITED) for name, target in targets.items()}
    declared = [*(one.limit_id for one in catalogue.limits), *(one.share_id for one in catalogue.shares)]
    return {
        "limits": [*limits.words, *(f"{name} of the catalogue" for name in declared)],
        "scale": limits.scale,
        "policies": {name: value_document(one) for name, one in values.items()},
        "differences": _differences(values, rows.customers),
        "messages": _messages(planned, rows.keys),
        "waves": [_wave(one, catalogue) for one in planned.waves],
    }


def with_planned(frame: pl.DataFrame, judged: Judged, planned: LimitedPolicy) -> pl.DataFrame:
    """A file of choices with what each decision gets within the limits, as `planned_message`."""
    keys = [judged.choices.keys[place] for place in planned.planned.tolist()]
    told = judged.decisions.select("decision_id", planned_message=pl.Series(keys, dtype=pl.String))
    return frame.join(told, on="decision_id", how="left", maintain_order="left")


def _differences(values: Mapping[str, PolicyValue], customers: IndexArray) -> list[dict[str, Any]]:
    ours = values[LIMITED]
    others = (values[name] for name in (RANDOM, SILENT))
    return [pair_document(paired(ours, one, customers)) for one in others if one.problem is None]


def _messages(planned: LimitedPolicy, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    counts = np.bincount(planned.planned, minlength=len(keys)).tolist()
    random = planned.random.sum(axis=0).tolist()
    return [
        {"message": key, "planned": count, "random": round(drawn, 3)}
        for key, count, drawn in zip(keys, counts, random, strict=True)
    ]


def _wave(wave: PlannedWave, catalogue: Catalogue) -> dict[str, Any]:
    per_unit = to_minor(1.0, catalogue.currency)
    return {
        "touchpoint": wave.touchpoint,
        "day": wave.day,
        "decisions": wave.decisions,
        "messaged": wave.messaged,
        "gap": wave.gap_minor / per_unit,
        "shadow_prices": {name: price / per_unit for name, price in wave.prices_minor.items()},
        "shortfalls": list(wave.shortfalls),
    }
