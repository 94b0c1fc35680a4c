"""LightGBM's text form of a booster as numbers, exactly as LightGBM itself reads it.

The text is what a model bundle keeps and what LightGBM loads. It writes thresholds and leaf values with 17 digits,
which give every float64 back to the last bit, and LightGBM parses these two with a correctly rounding parser, as Python
does. What it would read and this does not know is refused, never guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from decisioning.errors import InvalidInputError

_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_SET_BITS = 32
"""Bits of one word of a set of categories."""


class UnknownBoosterError(InvalidInputError):
    """A booster that leaf sets cannot stand for; LightGBM itself may still score it."""


class MissingKind(IntEnum):
    """What counts as missing at a split, in LightGBM's numbers."""

    NONE = 0
    ZERO = 1
    NAN = 2


class Output(IntEnum):
    """What is done to the sum of a booster's leaves."""

    SUM = 0
    EXP = 1
    LOGISTIC = 2


_OUTPUTS = {"regression": Output.SUM, "tweedie": Output.EXP, "binary": Output.LOGISTIC}


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """An inner node of a tree.

    Attributes:
        column: Column it looks at.
        threshold: What is at most this goes left; of no meaning where it looks at categories.
        categories: Categories that go left; None where it looks at a number.
        missing: What counts as missing.
        sends_missing_left: Where missing goes.
        left: Place of the node on the left; of a leaf, its inverted number.
        right: The same on the right.
    """

    column: int
    threshold: float
    categories: frozenset[int] | None
    missing: MissingKind
    sends_missing_left: bool
    left: int
    right: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """One tree.

    Attributes:
        splits: Inner nodes, every one before those below it; none in a tree of one leaf.
        leaves: Value of each leaf, shrinkage included.
    """

    splits: tuple[Split, ...]
    leaves: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoosterTrees:
    """A booster.

    Attributes:
        columns: How many columns it reads.
        trees: In the order in which their leaves are added.
        output: What is done to the sum.
        steepness: Factor of the sum before the logistic function.
        is_mean: The sum is divided by the number of trees, as in a random forest.
    """

    columns: int
    trees: tuple[Tree, ...]
    output: Output
    steepness: float = 1.0
    is_mean: bool = False


def read_booster_text(text: str) -> BoosterTrees:
    """Read what `Booster.model_to_string` wrote.

    Raises:
        UnknownBoosterError: It is no such text, or a booster that leaf sets cannot stand for: with linear leaves, with
            several outputs, or with another objective than those that training uses.
    """
    try:
        head, *blocks = text.partition("end of trees")[0].split("\nTree=")
        header = _entries(head)
        output, steepness = _output(header.get("objective", ""))
        if header["num_tree_per_iteration"] != "1":
            raise UnknownBoosterError(
                f"booster must have one output, got {header['num_tree_per_iteration']}; train for one measure"
            )
        columns = int(header["max_feature_idx"]) + 1
        return BoosterTrees(
            columns=columns,
            trees=tuple(_tree(_entries(block), columns) for block in blocks),
            output=output,
            steepness=steepness,
            is_mean="average_output" in header,
        )
    except (KeyError, ValueError, IndexError) as error:
        raise UnknownBoosterError(
            f"booster must be LightGBM's text form, got a problem with {error}; train the model again"
        ) from error


def _entries(block: str) -> dict[str, str]:
    parts = (line.partition("=") for line in block.split("\n"))
    return {name: value for name, _, value in parts if name}


def _output(objective: str) -> tuple[Output, float]:
    name, *words = objective.split(" ")
    settings = {word.partition(":")[0]: word.partition(":")[2] for word in words}
    if name not in _OUTPUTS or "sqrt" in settings:
        raise UnknownBoosterError(
            f"objective of a booster must be one of {', '.join(sorted(_OUTPUTS))}, got {objective or 'none'}"
        )
    return _OUTPUTS[name], float(settings.get("sigmoid", 1.0))


def _tree(entries: Mapping[str, str], width: int) -> Tree:
    if entries.get("is_linear", "0") != "0":
        raise UnknownBoosterError("booster must have constant leaves, got linear ones; train without `linear_tree`")
    count = int(entries["num_leaves"])
    leaves = _checked([float(one) for one in entries["leaf_value"].split()], count, "leaf_value")
    if count == 1:
        return Tree(splits=(), leaves=tuple(leaves))
    columns, kinds, lefts, rights = (
        _checked([int(one) for one in entries[name].split()], count - 1, name)
        for name in ("split_feature", "decision_type", "left_child", "right_child")
    )
    if not all(0 <= column < width for column in columns):
        raise UnknownBoosterError(
            f"columns of a tree must be among the {width} of the booster, got others; train again"
        )
    thresholds = _checked([float(one) for one in entries["threshold"].split()], count - 1, "threshold")
    for place, below in enumerate(zip(lefts, rights, strict=True)):
        if not all(place < one < count - 1 or -count <= one < 0 for one in below):
            raise UnknownBoosterError(
                f"what is below node {place} of a tree must be a later node or a leaf, got {below}"
            )
    splits = (
        Split(
            column=column,
            threshold=threshold,
            categories=_categories(entries, int(threshold)) if kind & _CATEGORICAL else None,
            missing=MissingKind(kind >> 2 & 3),
            sends_missing_left=bool(kind & _DEFAULT_LEFT),
            left=left,
            right=right,
        )
        for column, threshold, kind, left, right in zip(columns, thresholds, kinds, lefts, rights, strict=True)
    )
    return Tree(splits=tuple(splits), leaves=tuple(leaves))


def _checked[T](values: list[T], count: int, name: str) -> list[T]:
    if len(values) != count:
        raise UnknownBoosterError(f"{name} of a tree must have {count} values, got {len(values)}; train again")
    return values


def _categories(entries: Mapping[str, str], place: int) -> frozenset[int]:
    """The categories that go left, from words of 32 bits."""
    bounds = entries["cat_boundaries"].split()
    words = entries["cat_threshold"].split()[int(bounds[place]) : int(bounds[place + 1])]
    return frozenset(
        _SET_BITS * position + bit
        for position, word in enumerate(words)
        for bit in range(_SET_BITS)
        if int(word) >> bit & 1
    )
