"""An evaluation as a file of choices and as plain values for printing and JSON."""

from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import polars as pl

from decisioning.catalogue.message import message_parts
from decisioning.errors import InvalidInputError
from training.off_policy.estimators import Estimate
from training.off_policy.evaluation import Evaluation, Judged
from training.off_policy.policy_values import ESTIMATORS, PairedDifference, PolicyValue
from training.off_policy.segments import Segment


def check_out(path: Path) -> None:
    """Refuse a place where the choices cannot be written, before hours of work are lost on it.

    Raises:
        InvalidInputError: It is a folder, or cannot be written.
    """
    if path.is_dir():
        raise InvalidInputError(f"--out must be a file, got the folder {path}; name a .parquet file in it")
    probe = path.with_name(f".{path.name}.{uuid4().hex[:8]}.probe")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InvalidInputError(f"--out must be writable, got {path} ({error.strerror})") from error


def chosen_frame(judged: Judged, *, per_unit: float) -> pl.DataFrame:
    """What the policy would choose at every decision of `evaluation.judge`; values in units of `per_unit` minor units.

    Returns:
        `decision_id`, `customer_id`, `decided_at`; the choice before any chance as `message`, `offer_id`,
        `channel_id`, `creative_id`, its `probability` with exploration and its `expected_value` over the window it is
        served with; `logged_message` (null where the catalogue has none like it); `probabilities`, a list of
        `message`, `offer_id` and `probability` of everything that was permitted.
    """
    choices, decisions = judged.choices, judged.decisions
    rows = np.arange(decisions.height)
    chosen = pl.Series([choices.keys[place] for place in choices.greedy], dtype=pl.String)
    parts = [message_parts(key) for key in chosen]
    return decisions.select(
        "decision_id",
        "customer_id",
        "decided_at",
        message=chosen,
        offer_id=pl.Series([one and one.offer_id for one in parts], dtype=pl.String),
        channel_id=pl.Series([one and one.channel_id for one in parts], dtype=pl.String),
        creative_id=pl.Series([one and one.creative_id for one in parts], dtype=pl.String),
        probability=pl.Series(choices.probabilities[rows, choices.greedy]),
        expected_value=pl.Series(choices.expected / per_unit),
        logged_message="message_key",
        probabilities=_distributions(judged),
    )


def write_chosen(frame: pl.DataFrame, path: Path) -> None:
    """Write the file beside its place and move it there when it is whole.

    Raises:
        InvalidInputError: It cannot be written.
    """
    partial = path.with_name(f".{path.name}.{uuid4().hex[:8]}.partial")
    try:
        frame.write_parquet(partial)
        partial.replace(path)
    except OSError as error:
        raise InvalidInputError(f"--out must be writable, got {path} ({error.strerror})") from error
    finally:
        partial.unlink(missing_ok=True)


def evaluation_document(evaluation: Evaluation) -> dict[str, Any]:
    """Everything that was found, as plain values; amounts are in major units of the currency."""
    reward = evaluation.reward
    return {
        "reward": reward.measure.measure_id,
        "unit": reward.unit,
        "cap": None if reward.measure.cap_minor is None else reward.measure.cap_minor / reward.per_unit,
        "net_of_contact_cost": evaluation.is_net,
        "decisions": evaluation.decisions,
        "customers": evaluation.customers,
        "confidence": 0.95,
        "clustered_by": "customer",
        "policies": {one.name: value_document(one) for one in evaluation.values},
        "differences": [pair_document(one) for one in evaluation.differences],
        "best_single_message": evaluation.constant,
        "by": {name: [_segment(one) for one in found] for name, found in evaluation.segments.items()},
        "messages": [asdict(one) for one in evaluation.messages],
        "outcome_model": evaluation.outcome_model,
        "left_out": dict(evaluation.left_out),
        "valued_without": dict(evaluation.valued_without),
        "unmatched": dict(evaluation.unmatched),
        "put_off": evaluation.put_off,
    }


def value_document(value: PolicyValue) -> dict[str, Any]:
    """A policy's value as plain values."""
    support = value.support
    return {
        **_intervals(value),
        "contact_cost": value.contact_cost,
        "beyond_window": _interval(value.beyond_window),
        "effective_sample_size": support.effective_size if support else None,
        "matched_customers": support.matched_customers if support else None,
        "matched_share": support.matched_share if support else None,
        "heaviest_share": support.heaviest_share if support else None,
        "largest_weight": support.largest_weight if support else None,
        "mean_weight": support.mean_weight if support else None,
        "problem": value.problem,
    }


def _segment(one: Segment) -> dict[str, Any]:
    return {
        "group": one.group,
        "decisions": one.decisions,
        "customers": one.customers,
        "policies": {value.name: value_document(value) for value in one.values},
        "differences": [pair_document(pair) for pair in one.differences],
    }


def pair_document(one: PairedDifference) -> dict[str, Any]:
    """A difference as plain values."""
    return {"policy": one.policy, "against": one.against, **_intervals(one)}


def _intervals(found: PolicyValue | PairedDifference) -> dict[str, dict[str, float] | None]:
    """By estimator; None where the log cannot say."""
    return {name: _interval(found.estimates.get(name)) for name in ESTIMATORS}


def _interval(estimate: Estimate | None) -> dict[str, float] | None:
    if estimate is None:
        return None
    numbers = ("value", "lower", "upper", "standard_error")
    cap = {} if estimate.cap is None else {"cap": estimate.cap}
    return {name: getattr(estimate, name) for name in numbers} | cap


def _distributions(judged: Judged) -> pl.Series:
    """Per decision a list of structs over what was permitted, silence first."""
    choices = judged.choices
    rows, places = np.nonzero(choices.permitted)
    offers = [None if (parts := message_parts(key)) is None else parts.offer_id for key in choices.keys]
    flat = pl.DataFrame(
        {
            "row": rows,
            "message": pl.Series(choices.keys).gather(places),
            "offer_id": pl.Series(offers, dtype=pl.String).gather(places),
            "probability": choices.probabilities[rows, places],
        }
    )
    grouped = flat.group_by("row", maintain_order=True).agg(
        probabilities=pl.struct("message", "offer_id", "probability")
    )
    return grouped.sort("row")["probabilities"]
