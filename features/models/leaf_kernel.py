"""The inner loop of leaf sets as machine code: for each customer the leaf of every tree and message, added in order.

Numba makes it on its first call and keeps it beside this file, where Python keeps its own compiled files, or in the
user's cache folder where that is not writable. It reads arrays that `features.models.leaf_sets` has made, and holds no
lock while it runs.
"""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

SMALLEST = float(np.float32(1e-35))
"""LightGBM reads what is no larger as zero."""

_EXP, _LOGISTIC = 1, 2
_WORD_BITS = 64


@intrinsic
def _lowest_bit(_context, word):
    """Place of the lowest bit of a word that is not zero."""

    def write(context, builder, _signature, arguments):
        found = builder.cttz(arguments[0], context.get_constant(types.boolean, True))  # noqa: FBT003
        return found if arguments[0].type.width == _WORD_BITS else builder.zext(found, ir.IntType(_WORD_BITS))

    return types.int64(word), write


@numba.njit
def _span(value, cuts, low, high):
    """Which row of a column a value has: that of missing, of zero, or of the span between cuts that it lies in."""
    if math.isnan(value):
        return (high - low) + 2
    if abs(value) <= SMALLEST:
        return (high - low) + 1
    place, size = low, high - low
    while size > 1:  # without a branch to guess: halves are taken or not by arithmetic
        half = size >> 1
        place += half if cuts[place + half - 1] < value else 0
        size -= half
    return (place - low) + (1 if cuts[place] < value else 0)


@numba.njit
def _leave_over(customer, cuts, columns, table, left):
    """Leaves that a customer's columns leave over, as words."""
    for place in range(left.shape[0]):
        left[place] = ~(left[place] & 0)
    for column in range(columns.shape[0]):
        low, high, value = columns[column, 0], columns[column, 1], customer[columns[column, 3]]
        row = columns[column, 2] + _span(value, cuts, low, high)
        for place in range(left.shape[0]):
            left[place] &= table[row, place]


@numba.njit
def _weigh(left, trees, sets, leaves, worth):
    """Value of the first leaf that customer and message leave over, by tree and group of messages.

    The others are no leaves: bits of words that a tree does not fill.
    """
    words = sets.shape[1]
    for tree in range(trees.shape[0] - 1):
        first, end, start = trees[tree, 0], trees[tree + 1, 0], trees[tree, 1]
        if words == 1:
            here = left[tree]
            for group in range(first, end):
                bit = _lowest_bit(here & sets[group, 0])  # pyright: ignore[reportCallIssue]
                worth[group] = leaves[start + bit]
        else:
            for group in range(first, end):
                for word in range(words):
                    found = left[tree * words + word] & sets[group, word]
                    if found != 0:
                        bit = _lowest_bit(found)  # pyright: ignore[reportCallIssue]
                        worth[group] = leaves[start + _WORD_BITS * word + bit]
                        break


@numba.njit
def _add(worth, places, sums):
    """Sums in the order of the trees, four at a time for fewer reads and writes: each addition still by itself."""
    count, distinct = places.shape
    for place in range(distinct):
        sums[place] = 0.0
    tree = 0
    while tree + 4 <= count:
        first, second, third, fourth = places[tree], places[tree + 1], places[tree + 2], places[tree + 3]
        for place in range(distinct):
            total = sums[place] + worth[first[place]]
            total = total + worth[second[place]]
            total = total + worth[third[place]]
            sums[place] = total + worth[fourth[place]]
        tree += 4
    while tree < count:
        last = places[tree]
        for place in range(distinct):
            sums[place] += worth[last[place]]
        tree += 1


@numba.njit(error_model="numpy")
def _finish(total, output, steepness, divisor):
    """A booster's output from the sum of its leaves."""
    total = total / divisor
    if output == _EXP:
        return math.exp(total)
    if output == _LOGISTIC:
        return 1.0 / (1.0 + math.exp(-steepness * total))
    return total


def _compiled(function: Callable[..., None]) -> Any:
    """Machine code that is kept on disk, or made anew in every process where no folder can be written."""
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:
        return numba.njit(nogil=True, error_model="numpy")(function)


@_compiled
def score_rows(shared, cuts, columns, table, leaves, trees, sets, places, lines, finish, out):  # noqa: PLR0913, PLR0917
    """Fill `out` with what a booster says of n customers and r message rows.

    Args:
        shared: shape (n, q), what is the same for every message of a customer.
        cuts: Values at which the way through a tree changes, by column.
        columns: shape (s, 4), of each column that any split looks at: first and last cut, first row of the table, and
            its place in `shared`.
        table: shape (rows, t * w), leaves that a column's value leaves over, w words a tree.
        leaves: Value of each leaf.
        trees: shape (t + 1, 2), first group and first leaf of each tree.
        sets: shape (groups, w), leaves that a group of messages leaves over.
        places: shape (t, m), group of each distinct message row in each tree.
        lines: shape (r,), distinct row of each message row.
        finish: `Output`, factor before the logistic function, divisor of the sum.
        out: shape (n, r).
    """
    output, steepness, divisor = finish
    left = np.empty(table.shape[1], table.dtype)
    worth = np.empty(sets.shape[0])
    sums = np.empty(places.shape[1])
    for customer in range(shared.shape[0]):
        _leave_over(shared[customer], cuts, columns, table, left)
        _weigh(left, trees, sets, leaves, worth)
        _add(worth, places, sums)
        for place in range(sums.shape[0]):
            sums[place] = _finish(sums[place], output, steepness, divisor)
        for line in range(lines.shape[0]):
            out[customer, line] = sums[lines[line]]
