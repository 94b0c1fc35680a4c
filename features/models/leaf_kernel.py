"""The inner loop of leaf sets: for each customer the leaf of every tree and message, added in the order of the trees.

Numba makes machine code of it, in a process of its own that says the code and ends: Numba and what it makes code with
take 170 MB and a second or more, and a server needs neither. The code calls nothing but `exp`, allocates nothing, and
reads and writes what `features.models.leaf_sets` gives it the addresses of; no bound is checked.
"""

import math
import sys
from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numba
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from features.models.leaf_code import FUNCTION_NAMES, sealed
from features.models.leaf_sets import SMALLEST

_EXP, _LOGISTIC = 1, 2
_WORD_BITS = 64
_TYPES = {2: (types.uint16, types.uint16), 4: (types.uint32, types.uint16), 8: (types.uint64, types.uint32)}
"""Of a word and of a group's place, by bytes of a word."""

_SIGNATURE = types.void(types.CPointer(types.int64), types.intp, types.intp)


def _pointer_to(kind: Any) -> Any:
    @intrinsic
    def pointer(context, address):  # noqa: ARG001 - Numba's form
        def write(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(address), write

    return pointer


_numbers, _integers = _pointer_to(types.float64), _pointer_to(types.int64)


@intrinsic
def _lowest_bit(_context, word):
    """Place of the lowest bit of a word that is not zero."""

    def write(context, builder, _signature, arguments):
        found = builder.cttz(arguments[0], context.get_constant(types.boolean, True))  # noqa: FBT003
        return found if arguments[0].type.width == _WORD_BITS else builder.zext(found, ir.IntType(_WORD_BITS))

    return types.int64(word), write


@numba.njit(forceinline=True)
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


@numba.njit(forceinline=True)
def _leave_over(shared, first, cuts, columns, count, table, left, width):
    """Leaves that a customer's columns leave over, as words."""
    for place in range(width):
        left[place] = ~(left[place] & 0)
    for column in range(count):
        low, high, value = columns[4 * column], columns[4 * column + 1], shared[first + columns[4 * column + 3]]
        row = (columns[4 * column + 2] + _span(value, cuts, low, high)) * width
        for place in range(width):
            left[place] &= table[row + place]


@numba.njit(forceinline=True)
def _weigh(left, trees, count, sets, words, leaves, worth):
    """Value of the first leaf that customer and message leave over, by tree and group of messages.

    The others are no leaves: bits of words that a tree does not fill.
    """
    for tree in range(count):
        first, end, start = trees[2 * tree], trees[2 * tree + 2], trees[2 * tree + 1]
        if words == 1:
            here = left[tree]
            for group in range(first, end):
                worth[group] = leaves[start + _lowest_bit(here & sets[group])]  # pyright: ignore[reportCallIssue]
        else:
            for group in range(first, end):
                for word in range(words):
                    found = left[tree * words + word] & sets[group * words + word]
                    if found != 0:
                        bit = _lowest_bit(found)  # pyright: ignore[reportCallIssue]
                        worth[group] = leaves[start + _WORD_BITS * word + bit]
                        break


@numba.njit(forceinline=True)
def _add(worth, places, count, distinct, sums):
    """Sums in the order of the trees, four at a time for fewer reads and writes: each addition still by itself."""
    for place in range(distinct):
        sums[place] = 0.0
    tree = 0
    while tree + 4 <= count:
        first = tree * distinct
        second, third, fourth = first + distinct, first + 2 * distinct, first + 3 * distinct
        for place in range(distinct):
            total = sums[place] + worth[places[first + place]]
            total = total + worth[places[second + place]]
            total = total + worth[places[third + place]]
            sums[place] = total + worth[places[fourth + place]]
        tree += 4
    while tree < count:
        for place in range(distinct):
            sums[place] += worth[places[tree * distinct + place]]
        tree += 1


@numba.njit(forceinline=True, error_model="numpy")
def _finish(total, output, steepness, divisor):
    """A booster's output from the sum of its leaves."""
    total = total / divisor
    if output == _EXP:
        return math.exp(total)
    if output == _LOGISTIC:
        return 1.0 / (1.0 + math.exp(-steepness * total))
    return total


def _kernel(word: Any, place: Any) -> Callable[..., None]:
    """The loop for words of a type; the numbers of a plan are those of `MessageSets.plan`."""
    words_at, places_at = _pointer_to(word), _pointer_to(place)

    def score(plan, customers, room):
        width, columns, trees, words = plan[0], plan[1], plan[2], plan[3]
        groups, distinct, lines = plan[4], plan[5], plan[6]
        cuts, columns_of, table, leaves = _numbers(plan[7]), _integers(plan[8]), words_at(plan[9]), _numbers(plan[10])
        starts, sets, places, line = _integers(plan[11]), words_at(plan[12]), places_at(plan[13]), _integers(plan[14])
        finish, out = _numbers(plan[15]), _numbers(room)
        behind = room + 8 * customers * lines
        shared = _numbers(behind)
        behind += 8 * customers * width
        worth, sums, left = _numbers(behind), _numbers(behind + 8 * groups), words_at(behind + 8 * (groups + distinct))
        for customer in range(customers):
            _leave_over(shared, customer * width, cuts, columns_of, columns, table, left, trees * words)
            _weigh(left, starts, trees, sets, words, leaves, worth)
            _add(worth, places, trees, distinct, sums)
            for one in range(distinct):
                sums[one] = _finish(sums[one], finish[0], finish[1], finish[2])
            for one in range(lines):
                out[customer * lines + one] = sums[line[one]]

    return score


def object_code() -> bytes:
    """Machine code for this processor, one function per type of word, named as `FUNCTION_NAMES` says."""
    llvmlite.binding.initialize_native_asmprinter()
    whole = llvmlite.binding.parse_assembly("")
    for size, kinds in _TYPES.items():
        made = numba.cfunc(_SIGNATURE, error_model="numpy")(_kernel(*kinds))
        code = made.inspect_llvm().replace(made.native_name, FUNCTION_NAMES[size])
        whole.link_in(llvmlite.binding.parse_assembly(code))
    target = llvmlite.binding.Target.from_default_triple()
    machine = target.create_target_machine(
        cpu=llvmlite.binding.get_host_cpu_name(),
        features=llvmlite.binding.get_host_cpu_features().flatten(),
        opt=3,
        codemodel="large",
    )
    return machine.emit_object(whole)


if __name__ == "__main__":
    sys.stdout.buffer.write(sealed(object_code()))
