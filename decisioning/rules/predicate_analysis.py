"""Exact proofs whether a rule can hold for anybody, and whether it holds for everybody.

The rule language compares single facts with constants, so the values of a fact fall into finitely many cells that no
comparison of the rules at hand tells apart: the constants, the stretches between them, the words, the flags, and
missing. A comparison is a set of cells, its negation the other cells, and a rule is satisfiable exactly where some way
through its alternatives leaves every fact a cell. One value of each cell stands for it and is judged by the compiled
comparison itself, so a proof and a decision cannot disagree. The search is cut off after `MOST_STEPS` and then says
that it does not know.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from decisioning.rules.predicate import AllOf, AnyOf, Compare, FactValue, Not, Predicate, compile_predicate, facts_of
from decisioning.rules.value_cells import ANYTHING, Domain, cells_of

MOST_STEPS = 200_000
"""Alternatives that a search looks at before it gives up; rules written by people take a few dozen."""

_DEEPEST = 200  # choices one inside another, far below Python's limit on recursion

type Domains = Mapping[str, Domain]
type Masks = dict[str, int]


class ProofVerdict(StrEnum):
    """The answer to a search, which may be that it is unknown."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofFinding:
    """The answer of a search.

    Attributes:
        verdict: Whether the rule can hold.
        example: Facts for which it holds, where it can; facts that are missing are None.
    """

    verdict: ProofVerdict
    example: Mapping[str, FactValue] | None = None


def can_hold(predicate: Predicate, domains: Domains) -> ProofVerdict:
    """Whether there are facts for which a rule holds.

    Args:
        predicate: The rule; put several that must hold together into an `AllOf`.
        domains: What each fact can be; a fact that is not named can be anything, also missing.

    Raises:
        InvalidPolicyError: A comparison whose value does not fit it.

    Example:
        >>> from decisioning.rules.predicate import Comparison
        >>> adult = Compare(fact="customer.age", comparison=Comparison.AT_LEAST, value=18)
        >>> minor = Compare(fact="customer.age", comparison=Comparison.LESS_THAN, value=18)
        >>> can_hold(AllOf(parts=(adult, minor)), {}).value
        'no'
    """
    return find_example(predicate, domains).verdict


def always_holds(predicate: Predicate, domains: Domains) -> ProofVerdict:
    """Whether a rule holds whatever the facts are.

    Args:
        predicate: The rule.
        domains: What each fact can be; a fact that is not named can be anything, also missing.

    Raises:
        InvalidPolicyError: A comparison whose value does not fit it.

    Example:
        >>> from decisioning.rules.predicate import Comparison
        >>> known = Compare(fact="customer.age", comparison=Comparison.IS_MISSING, value=False)
        >>> always_holds(known, {}).value
        'no'
        >>> always_holds(AnyOf(parts=(known, Not(part=known))), {}).value
        'yes'
    """
    found = _find(predicate, domains, MOST_STEPS, wanted=False).verdict
    return {ProofVerdict.YES: ProofVerdict.NO, ProofVerdict.NO: ProofVerdict.YES}.get(found, found)


def find_example(predicate: Predicate, domains: Domains, most_steps: int = MOST_STEPS) -> ProofFinding:
    """Facts for which a rule holds, or that there are none.

    Args:
        predicate: The rule.
        domains: What each fact can be; a fact that is not named can be anything, also missing.
        most_steps: Alternatives looked at before the search gives up.

    Raises:
        InvalidPolicyError: A comparison whose value does not fit it.

    Example:
        >>> from decisioning.rules.predicate import Comparison
        >>> adult = Compare(fact="customer.age", comparison=Comparison.AT_LEAST, value=18)
        >>> find_example(adult, {}).example
        {'customer.age': 18}
    """
    return _find(predicate, domains, most_steps, wanted=True)


def _find(predicate: Predicate, domains: Domains, most_steps: int, *, wanted: bool) -> ProofFinding:
    """Facts for which a rule holds, or for which it does not."""
    compile_predicate(predicate)
    cells = _cells(predicate, domains)
    search = _Search(steps_left=most_steps)
    everything = {fact: (1 << len(values)) - 1 for fact, values in cells.items()}
    if not all(everything.values()):
        return ProofFinding(verdict=ProofVerdict.NO)
    masks = search.solve((_normal(predicate, cells, holds=True, wanted=wanted),), everything)
    if masks is None:
        return ProofFinding(verdict=ProofVerdict.NO if search.steps_left > 0 else ProofVerdict.UNKNOWN)
    return ProofFinding(
        verdict=ProofVerdict.YES, example={fact: cells[fact][_lowest(mask)] for fact, mask in masks.items()}
    )


def _cells(predicate: Predicate, domains: Domains) -> dict[str, tuple[FactValue, ...]]:
    constants: dict[str, list[FactValue]] = {fact: [] for fact in sorted(facts_of(predicate))}
    for compare in comparisons_of(predicate):
        values = compare.value if isinstance(compare.value, tuple) else (compare.value,)
        constants[compare.fact].extend(values)
    return {fact: cells_of(domains.get(fact, ANYTHING), values) for fact, values in constants.items()}


def comparisons_of(predicate: Predicate) -> Iterator[Compare]:
    """Every comparison in a predicate."""
    match predicate:
        case Compare():
            yield predicate
        case AllOf(parts=parts) | AnyOf(parts=parts):
            for part in parts:
                yield from comparisons_of(part)
        case _:
            yield from comparisons_of(predicate.part)


@dataclass(frozen=True, slots=True)
class _Within:
    """One fact is in a set of its cells."""

    fact: str
    mask: int


@dataclass(frozen=True, slots=True)
class _Every:
    parts: tuple["_Node", ...]


@dataclass(frozen=True, slots=True)
class _Some:
    parts: tuple["_Node", ...]


type _Node = _Within | _Every | _Some


def _normal(predicate: Predicate, cells: Mapping[str, Sequence[FactValue]], *, holds: bool, wanted: bool) -> _Node:
    """That a rule surely holds, or surely does not (`holds`), is so or is not so (`wanted`), with negations gone.

    The two differ where a fact is of another kind than a value: then neither is so.
    """
    match predicate:
        case Compare(fact=fact):
            rule = compile_predicate(predicate if holds else Not(part=predicate))
            fits = (rule({fact: value}) is wanted for value in cells[fact])
            return _Within(fact, sum(1 << index for index, does in enumerate(fits) if does))
        case AllOf(parts=parts) | AnyOf(parts=parts):
            inner = tuple(_normal(part, cells, holds=holds, wanted=wanted) for part in parts)
            return _Every(inner) if isinstance(predicate, AllOf) is (holds is wanted) else _Some(inner)
        case _:
            return _normal(predicate.part, cells, holds=not holds, wanted=wanted)


class _Search:
    """Walks the alternatives depth first, the disjunctive normal form without writing it down."""

    def __init__(self, steps_left: int) -> None:
        self.steps_left = steps_left

    def solve(self, pending: tuple[_Node, ...], masks: Masks, depth: int = 0) -> Masks | None:
        """Cells that are left when every node holds; None where there is no way, or no step left."""
        masks, choices = dict(masks), list[_Some]()
        stack = list(pending)
        while stack:
            node = stack.pop()
            if isinstance(node, _Every):
                stack.extend(node.parts)
            elif isinstance(node, _Some):
                choices.append(node)
            else:
                masks[node.fact] &= node.mask
                if not masks[node.fact]:
                    return None
        return self._choose(choices, masks, depth)

    def _choose(self, choices: list[_Some], masks: Masks, depth: int) -> Masks | None:
        """The narrowest choice first: most alternatives are ruled out by what is fixed already."""
        if not choices:
            return masks
        self.steps_left = 0 if depth >= _DEEPEST else self.steps_left - sum(len(each.parts) for each in choices)
        if self.steps_left <= 0:
            return None
        live = [[part for part in choice.parts if _is_open(part, masks)] for choice in choices]
        narrowest = min(range(len(live)), key=lambda index: len(live[index]))
        rest = tuple(_Some(tuple(parts)) for index, parts in enumerate(live) if index != narrowest)
        for part in live[narrowest]:
            found = self.solve((part, *rest), masks, depth + 1)
            if found is not None:
                return found
        return None


def _is_open(node: _Node, masks: Masks) -> bool:
    return not isinstance(node, _Within) or bool(masks[node.fact] & node.mask)


def _lowest(mask: int) -> int:
    return (mask & -mask).bit_length() - 1
