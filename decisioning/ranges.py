"""Ranges of [0, 1) of experiments and arms: kept once assigned, and changed by moving as little as possible."""

from collections.abc import Iterable, Mapping

type Spans = tuple[tuple[float, float], ...]
"""Ranges from their start (inclusive) to their end (exclusive), in order, without overlap."""

NOTHING: Spans = ()
WHOLE: Spans = ((0.0, 1.0),)

_DIGITS = 12
_ROUNDING = 1e-9


def holds(spans: Spans, position: float) -> bool:
    """True where a position in [0, 1) lies in one of the ranges."""
    return any(start <= position < end for start, end in spans)


def width(spans: Spans) -> float:
    """How much of the line ranges take, in [0, 1].

    Example:
        >>> width(((0.0, 0.25), (0.5, 0.75)))
        0.5
    """
    return sum(end - start for start, end in spans)


def laid_out(shares: Mapping[str, float]) -> dict[str, Spans]:
    """Ranges of arms that nobody is in yet: one behind the other in the order of their names, the whole line in all.

    Args:
        shares: Share per arm, summing to 1; one without any gets no range.
    """
    names = sorted(name for name, share in shares.items() if share > 0)
    spans, start = dict[str, Spans](), 0.0
    for name in names[:-1]:
        spans[name] = ((start, start + shares[name]),)
        start += shares[name]
    spans[names[-1]] = ((start, 1.0),)  # shares may sum to a hair below 1: the last arm takes the rest
    return {name: spans.get(name, NOTHING) for name in shares}


def reshared(held: Mapping[str, Spans], shares: Mapping[str, float]) -> dict[str, Spans]:
    """Ranges of arms after their shares changed: what shrinks gives up its end, what grows takes that.

    Nobody else moves.

    Args:
        held: The ranges so far, the whole line in all; arms that are gone give everything up.
        shares: New share per arm, summing to 1.

    Example:
        >>> reshared({"a": ((0.0, 0.5),), "b": ((0.5, 1.0),)}, {"a": 0.25, "b": 0.75})
        {'a': ((0.0, 0.25),), 'b': ((0.25, 1.0),)}
    """
    kept = {name: claim(held.get(name, NOTHING), share) for name, share in shares.items()}
    free = without(WHOLE, (span for spans in kept.values() for span in spans))
    growing = [name for name in sorted(shares) if shares[name] - width(kept[name]) > _ROUNDING]
    for name in growing[:-1]:
        more = claim(free, shares[name] - width(kept[name]))
        kept[name], free = _joined((*kept[name], *more)), without(free, more)
    if free:  # all of it, so that every position has an arm
        last = growing[-1] if growing else max(sorted(shares), key=lambda name: shares[name])
        kept[last] = _joined((*kept[last], *free))
    return kept


def claim(spans: Spans, wanted: float) -> Spans:
    """The first ranges of given ones, `wanted` wide in all; all of them where they are not wider."""
    claimed: list[tuple[float, float]] = []
    for start, end in spans:
        if wanted <= _ROUNDING:
            break
        stop = end if wanted >= end - start - _ROUNDING else round(start + wanted, _DIGITS)
        claimed.append((start, stop))
        wanted -= stop - start
    return tuple(claimed)


def without(spans: Spans, taken: Iterable[tuple[float, float]]) -> Spans:
    """What is left of ranges once others are taken out; slivers of rounding are not told.

    Example:
        >>> without(WHOLE, [(0.25, 0.5)])
        ((0.0, 0.25), (0.5, 1.0))
    """
    left = list(spans)
    for start, end in taken:
        left = [
            piece
            for one, other in left
            for piece in ((one, min(other, start)), (max(one, end), other))
            if piece[1] > piece[0]
        ]
    return _joined(left)


def _joined(spans: Iterable[tuple[float, float]]) -> Spans:
    """In order, with ranges that touch made one."""
    joined: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)
