"""The same policies within groups of decisions: by stage, by where the policy's choice goes, by what customers are.

A group is a function of what was known when the decision was made, the policy's own choice included, and of nothing
that came later or that the log's draw decided. So every estimate within a group is as sound as one over all decisions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from decisioning.arrays import BoolArray, FloatArray
from decisioning.catalogue.catalogue import AttributeKind, Catalogue
from decisioning.catalogue.message import SILENCE, message_parts
from decisioning.errors import UnknownNameError
from features.history import History
from training.off_policy.choices import PolicyChoices, touchpoints_of
from training.off_policy.logged_rows import LoggedRows
from training.off_policy.policy_values import PairedDifference, PolicyValue, all_values, differences_of
from training.off_policy.profiles import profiles_at

UNKNOWN = "unknown"
"""Group of decisions about which nobody knows."""

_FIXED = ("stage", "channel", "offer", "touchpoint", "country")


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Values within one group of decisions; a policy about which the group says too little has its `problem`."""

    group: str
    decisions: int
    customers: int
    values: tuple[PolicyValue, ...]
    differences: tuple[PairedDifference, ...]


def check_grouping(by: Sequence[str], catalogue: Catalogue) -> None:
    """Refuse what decisions cannot be grouped by.

    Raises:
        UnknownNameError: Neither one of the fixed names nor a category or flag of customers.
    """
    known = (*_FIXED, *_attributes(catalogue))
    for name in by:
        if name not in known:
            raise UnknownNameError("--by", name, known)


def groups_of(
    name: str, decisions: pl.DataFrame, choices: PolicyChoices, history: History, catalogue: Catalogue
) -> list[str]:
    """The group of each of n decisions.

    Args:
        name: `stage` of the customer, `channel` or `offer` of what the policy chooses, `touchpoint`, `country`, or a
            customer attribute that is a category or a flag, as known at the decision.
        decisions: n rows.
        choices: The policy's side of them.
        history: What was known of customers, and when.
        catalogue: Declares attributes.

    Raises:
        UnknownNameError: Nothing of that name.
    """
    check_grouping((name,), catalogue)
    if name == "touchpoint":
        return touchpoints_of(decisions, catalogue)
    if name == "stage":
        return [one or UNKNOWN for one in choices.stages]
    if name in {"channel", "offer"}:
        parts = [message_parts(key) for key in choices.keys]
        names = [SILENCE if one is None else one.channel_id if name == "channel" else one.offer_id for one in parts]
        return [names[place] for place in choices.greedy.tolist()]
    profiles = profiles_at(history, decisions)
    told = [None if one is None else one.country if name == "country" else one.attributes.get(name) for one in profiles]
    return [UNKNOWN if one is None else str(one).lower() if isinstance(one, bool) else str(one) for one in told]


def segments_by(rows: LoggedRows, targets: Mapping[str, FloatArray], names: Sequence[str]) -> tuple[Segment, ...]:
    """Values within every group that has two customers, the largest first.

    Args:
        rows: n decisions.
        targets: By policy, shape (n, k + 1).
        names: n groups.
    """
    of = np.array(names)
    found = [_segment(rows, targets, group, of == group) for group in sorted(set(names))]
    return tuple(sorted((one for one in found if one is not None), key=lambda one: -one.decisions))


def _segment(rows: LoggedRows, targets: Mapping[str, FloatArray], group: str, wanted: BoolArray) -> Segment | None:
    part = rows.take(wanted)
    customers = int(np.unique(part.customers).size)
    if customers < 2:  # noqa: PLR2004 - no interval rests on one
        return None
    values = all_values(part, {name: target[wanted] for name, target in targets.items()})
    return Segment(
        group=group,
        decisions=int(wanted.sum()),
        customers=customers,
        values=tuple(values),
        differences=differences_of(values, part.customers),
    )


def _attributes(catalogue: Catalogue) -> list[str]:
    kinds = {AttributeKind.CATEGORY, AttributeKind.FLAG}
    return sorted(one.name for one in catalogue.customer_attributes if one.kind in kinds)
