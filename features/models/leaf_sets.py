"""A booster as sets of leaves, so that what all messages of a decision share is worked out once.

A split rules out the leaves on the side that a row does not take, and of each tree the one leaf that no split rules out
is the row's. So there is one row of a table per column and span of its values: of every tree the leaves that the column
leaves over. A customer's columns are looked up and intersected once per decision; a message's once per policy,
where messages that all splits of a tree treat alike become one group. A leaf is then one intersection per tree and
group, and a score the sum of the leaves in the order of the trees, which is LightGBM's own: equal to `Booster.predict`
bit for bit. Columns that depend on customer and message at once would need a set per row; the features have none.

How LightGBM goes through a tree (`tree.h`, 4.7): |x| up to float32(1e-35) is 0. At a number, NaN goes where missing
goes if NaN is missing there, else it is 0; where zero is missing, 0 goes where missing goes; all else goes left up to
the threshold. At categories, NaN, negative and unknown go right, and a fraction is cut off towards zero.

Reference:
    Lucchese et al., QuickScorer: a fast algorithm to rank documents with additive ensembles of regression trees, SIGIR
    2015, section 3.
"""

from collections.abc import Iterable, Sequence
from ctypes import addressof, c_char
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from decisioning.arrays import FloatArray, IntArray
from decisioning.errors import InvalidInputError
from features.models.booster_text import BoosterTrees, MissingKind, Split, Tree, UnknownBoosterError
from features.models.leaf_code import Kernel, kernels

type _Words = npt.NDArray[np.unsignedinteger[Any]]

_WORD_TYPES = {16: np.uint16, 32: np.uint32, 64: np.uint64}
_LARGEST_TABLE = 128 * 2**20
"""Bytes; beyond, looking up rows would cost more than walking through trees."""

SMALLEST = float(np.float32(1e-35))
"""LightGBM reads what is no larger as zero."""

_MOST_SMALL = 2**16
"""Groups that two bytes can tell apart."""

_WIDEST = 8
_LARGEST_INT = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafSets:
    """A booster, compiled.

    Attributes:
        cuts: Values at which the way through a tree changes, ascending within each column: x is in the span of the
            first cut that is no smaller.
        columns: shape (p, 3), first and last cut of each column and its first row of the table. A column has a row per
            span, one for zero and one for NaN.
        table: shape (rows, t * w), what a row leaves over of t trees, in w words each.
        leaves: Value of each leaf.
        starts: shape (t,), first leaf of each tree.
        finish: shape (3,), what is done to the sum of the leaves, the factor and the divisor.
    """

    cuts: FloatArray
    columns: IntArray
    table: _Words
    leaves: FloatArray
    starts: IntArray
    finish: FloatArray

    def for_messages(self, messages: FloatArray, first: int) -> "MessageSets":
        """Work out once what r message rows rule out.

        Args:
            messages: shape (r, m).
            first: Column of the booster where they stand; what is before and behind them is shared.
        """
        return _message_sets(self, messages, first)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSets:
    """A booster on fixed message rows; calling it scores them for n customers.

    Attributes:
        compiled: The booster.
        width: How many columns are shared.
        columns: shape (s, 4), of each shared column that any split looks at: `LeafSets.columns`, and its place in what
            is shared.
        trees: shape (t + 1, 2), first group and first leaf of each tree.
        sets: shape (groups, w), leaves that a group leaves over.
        places: shape (t, u), group of each distinct message row in each tree.
        lines: shape (r,), distinct row of each message row.
        kernel: The loop over customers. It is given a room: for what it finds, for what customers bring, for working.
        plan: Sizes and addresses of all of it, as `leaf_kernel` reads them.
        plan_at: Address of the plan.
        working: Numbers that the loop needs for working.
    """

    compiled: LeafSets
    width: int
    columns: IntArray
    trees: IntArray
    sets: _Words
    places: _Words
    lines: IntArray
    kernel: Kernel
    plan: IntArray
    plan_at: int
    working: int

    def __call__(self, shared: FloatArray) -> FloatArray:
        """Scores: shape (n, p - m) in, the columns without the message's; shape (n, r) out.

        Raises:
            InvalidInputError: Another number of columns.
        """
        n, width = shared.shape
        if width != self.width:
            raise InvalidInputError(f"shared columns must be {self.width}, got {width}; see DesignLayout")
        found, brought = n * len(self.lines), n * width
        room = np.empty(found + brought + self.working)
        room[found : found + brought].reshape(n, width)[:] = shared
        self.kernel(self.plan_at, n, addressof(c_char.from_buffer(room)))
        return room[:found].reshape(n, len(self.lines))


def compile_booster(booster: BoosterTrees) -> LeafSets:
    """Work out every column's table.

    Raises:
        UnknownBoosterError: The tables would be too large.
    """
    most = max((len(tree.leaves) for tree in booster.trees), default=1)
    bits = next((one for one in _WORD_TYPES if most <= one), max(_WORD_TYPES))
    words = -(-most // bits)
    nodes = _nodes(booster.trees, booster.columns)
    spans = [_cuts(here) for here in nodes]
    firsts = np.cumsum([0, *(len(one) + 3 for one in spans)])
    size = int(firsts[-1]) * len(booster.trees) * words * bits // 8
    if size > _LARGEST_TABLE:
        raise UnknownBoosterError(
            f"tables of a booster must have at most {_LARGEST_TABLE:,} bytes, got {size:,}; train fewer trees"
        )
    table = np.full((int(firsts[-1]), len(booster.trees) * words), ~_WORD_TYPES[bits](0))
    for here, cuts, first in zip(nodes, spans, firsts, strict=False):
        _rule_out(table[first : first + len(cuts) + 3], here, cuts, bits, words)
    ends = np.cumsum([0, *(len(one) for one in spans)])
    return LeafSets(
        cuts=np.concatenate([*spans, np.empty(0)]),
        columns=np.column_stack([ends[:-1], ends[1:], firsts[:-1]]).astype(np.int64),
        table=table,
        leaves=np.array([value for tree in booster.trees for value in tree.leaves], dtype=np.float64),
        starts=np.cumsum([0, *(len(tree.leaves) for tree in booster.trees)])[:-1].astype(np.int64),
        finish=np.array([booster.output, booster.steepness, max(len(booster.trees), 1) if booster.is_mean else 1.0]),
    )


@dataclass(frozen=True, slots=True)
class _Node:
    """A split in its tree, with the leaves on either side as the bits of a number."""

    tree: int
    split: Split
    left: int
    right: int


def _nodes(trees: Sequence[Tree], columns: int) -> list[list[_Node]]:
    """The nodes that look at each column."""
    nodes: list[list[_Node]] = [[] for _ in range(columns)]
    for place, tree in enumerate(trees):
        below = [0] * len(tree.splits)
        for position in range(len(tree.splits) - 1, -1, -1):
            split = tree.splits[position]
            left, right = (below[one] if one >= 0 else 1 << ~one for one in (split.left, split.right))
            below[position] = left | right
            nodes[split.column].append(_Node(place, split, left, right))
    return nodes


def _cuts(nodes: Iterable[_Node]) -> FloatArray:
    """Values up to which all nodes of a column do the same as from the value before."""
    cuts: set[float] = set()
    for node in nodes:
        if node.split.categories is None:
            cuts.add(node.split.threshold)
        else:
            for known in node.split.categories:
                cuts |= {_last_before(known), _last_before(known + 1)}
    return np.array(sorted(cuts))


def _last_before(category: int) -> float:
    """The largest number that is a smaller category: those between -1 and 1 are all category 0."""
    return -1.0 if category == 0 else float(np.nextafter(float(category), -np.inf))


def _rule_out(table: _Words, nodes: Sequence[_Node], cuts: FloatArray, bits: int, words: int) -> None:
    """Take from a column's rows what its nodes rule out."""
    spans = np.append(cuts, np.inf)
    for node in nodes:
        goes_left = np.append(_goes_left(node.split, spans), _exceptions(node.split))[:, np.newaxis]
        left_over = np.where(goes_left, ~_as_words(node.right, bits, words), ~_as_words(node.left, bits, words))
        table[:, node.tree * words : (node.tree + 1) * words] &= left_over


def _goes_left(split: Split, values: FloatArray) -> npt.NDArray[np.bool_]:
    """Where numbers that are neither missing nor zero go."""
    if split.categories is None:
        return values <= split.threshold
    is_category = (values > -1.0) & (values <= _LARGEST_INT)
    whole = np.where(is_category, values, -1.0).astype(np.int64)
    return is_category & np.isin(whole, list(split.categories))


def _exceptions(split: Split) -> list[bool]:
    """Whether zero goes left, and whether NaN does."""
    if split.categories is not None:
        return [0 in split.categories, False]
    zero = split.sends_missing_left if split.missing is MissingKind.ZERO else split.threshold >= 0.0
    return [zero, split.sends_missing_left if split.missing is MissingKind.NAN else zero]


def _as_words(leaves: int, bits: int, words: int) -> _Words:
    raw = leaves.to_bytes(words * bits // 8, "little")
    return np.frombuffer(raw, dtype=np.dtype(_WORD_TYPES[bits]).newbyteorder("<")).astype(_WORD_TYPES[bits])


def _message_sets(compiled: LeafSets, messages: FloatArray, first: int) -> MessageSets:
    count, width = len(compiled.starts), messages.shape[1]
    words = compiled.table.shape[1] // max(count, 1)
    left = np.full((len(messages), count * words), ~compiled.table.dtype.type(0))
    for position in range(width):
        left &= compiled.table[_rows(compiled, first + position, messages[:, position])]
    distinct, lines = np.unique(left, axis=0, return_inverse=True)
    sets: list[_Words] = []
    starts, places = [0], np.empty((count, len(distinct)), dtype=np.int64)
    for tree in range(count):
        groups, inside = np.unique(distinct[:, tree * words : (tree + 1) * words], axis=0, return_inverse=True)
        sets.append(groups)
        places[tree] = starts[-1] + inside.ravel()
        starts.append(starts[-1] + len(groups))
    brought = enumerate([*range(first), *range(first + width, len(compiled.columns))])
    columns = [(*compiled.columns[column], place) for place, column in brought if _is_used(compiled, column)]
    if starts[-1] > _MOST_SMALL:
        compiled = replace(compiled, table=compiled.table.astype(np.uint64))
    word, place = compiled.table.dtype, np.uint32 if compiled.table.itemsize == _WIDEST else np.uint16
    parts = _Parts(
        columns=np.array(columns, dtype=np.int64).reshape(-1, compiled.columns.shape[1] + 1),
        trees=np.ascontiguousarray(np.column_stack([starts, np.append(compiled.starts, 0)]), dtype=np.int64),
        sets=np.ascontiguousarray(np.concatenate([*sets, np.empty((0, words), dtype=word)]), dtype=word),
        places=np.ascontiguousarray(places, dtype=place),
        lines=lines.ravel().astype(np.int64),
    )
    plan = _plan(compiled, parts, len(compiled.columns) - width)
    return MessageSets(
        compiled=compiled,
        width=len(compiled.columns) - width,
        **parts._asdict(),
        kernel=kernels()[compiled.table.itemsize],
        plan=plan,
        plan_at=plan.ctypes.data,
        working=len(parts.sets) + len(distinct) + count * words,
    )


class _Parts(NamedTuple):
    """Arrays of `MessageSets`."""

    columns: IntArray
    trees: IntArray
    sets: _Words
    places: _Words
    lines: IntArray


def _plan(compiled: LeafSets, parts: _Parts, width: int) -> IntArray:
    """Sizes, then addresses, of arrays that the kernel reads."""
    (count, distinct), (groups, words) = parts.places.shape, parts.sets.shape
    sizes = (width, len(parts.columns), count, words, groups, distinct, len(parts.lines))
    arrays = (
        compiled.cuts, parts.columns, compiled.table, compiled.leaves, parts.trees, parts.sets, parts.places,
        parts.lines, compiled.finish,
    )  # fmt: skip
    return np.array([*sizes, *(one.ctypes.data for one in arrays)], dtype=np.int64)


def _is_used(compiled: LeafSets, column: int) -> bool:
    """Whether any split looks at a column."""
    low, high = compiled.columns[column, :2]
    return bool(high > low)


def _rows(compiled: LeafSets, column: int, values: FloatArray) -> IntArray:
    """Rows of the table for values of a column."""
    low, high, first = compiled.columns[column]
    spans = compiled.cuts[low:high].searchsorted(values, side="left")
    spans = np.where(np.abs(values) <= SMALLEST, high - low + 1, spans)
    return first + np.where(np.isnan(values), high - low + 2, spans)
