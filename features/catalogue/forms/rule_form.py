"""Rules as people write them, and as the core compiles them.

A rule is one of `{fact: NAME, <comparison>: VALUE, ...}`, `{all: [...]}`, `{any: [...]}` and `{not: ...}`; several
comparisons of one fact must all hold.
"""

from collections.abc import Iterator
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from decisioning.rules.predicate import ALWAYS, AllOf, AnyOf, Compare, Comparison, Not, Predicate

type PlainValue = float | bool | str
type Step = tuple[str | int, ...]

_NO_FORM = "must be one of: a `fact` with a comparison, `all`, `any`, `not`"


class RuleFile(BaseModel):
    """A rule over facts: a comparison, or `all`, `any`, `not` of other rules."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    fact: str | None = Field(default=None, description="A feature, customer.<attribute>, context.<field> or stage")
    equals: PlainValue | None = Field(default=None, description="The fact is this value")
    not_equals: PlainValue | None = Field(default=None, description="The fact is known and another value")
    at_least: float | None = Field(default=None, description="The fact is this number or more")
    more_than: float | None = Field(default=None, description="The fact is more than this number")
    at_most: float | None = Field(default=None, description="The fact is this number or less")
    less_than: float | None = Field(default=None, description="The fact is less than this number")
    one_of: tuple[PlainValue, ...] | None = Field(default=None, description="The fact is one of these")
    none_of: tuple[PlainValue, ...] | None = Field(default=None, description="The fact is known and none of these")
    is_missing: bool | None = Field(default=None, description="The fact is not known (true) or known (false)")
    all_of: tuple["RuleFile", ...] | None = Field(default=None, alias="all", description="Every rule holds")
    any_of: tuple["RuleFile", ...] | None = Field(default=None, alias="any", description="At least one rule holds")
    negated: "RuleFile | None" = Field(default=None, alias="not", description="The rule does not hold")

    @model_validator(mode="after")
    def _has_one_form(self) -> Self:
        forms = [self.fact is not None, self.all_of is not None, self.any_of is not None, self.negated is not None]
        if sum(forms) != 1:
            raise ValueError(_NO_FORM)
        if self.fact is not None and not self.comparisons():
            raise ValueError(f"must compare the fact with one of: {', '.join(Comparison)}")
        if self.fact is None and self.comparisons():
            raise ValueError("must name the `fact` to compare")
        return self

    def comparisons(self) -> dict[Comparison, PlainValue | tuple[PlainValue, ...]]:
        """The comparisons written, by name, in a fixed order."""
        written = {comparison: getattr(self, comparison.value) for comparison in Comparison}
        return {comparison: value for comparison, value in written.items() if value is not None}

    def parts(self, at: Step = ()) -> Iterator[tuple[Step, "RuleFile"]]:
        """The rules right inside `all` and `any`, with their paths; none inside a comparison or `not`."""
        for name, parts in (("all", self.all_of), ("any", self.any_of)):
            for index, part in enumerate(parts or ()):
                yield (*at, name, index), part

    def leaves(self, at: Step = ()) -> Iterator[tuple[Step, "RuleFile"]]:
        """Every comparison in the rule, with its path."""
        if self.fact is not None:
            yield at, self
        for place, part in self.parts(at):
            yield from part.leaves(place)
        if self.negated is not None:
            yield from self.negated.leaves((*at, "not"))


def to_predicate(rule: RuleFile | None) -> Predicate:
    """The core's form of a rule; no rule is always true.

    Example:
        >>> to_predicate(RuleFile(fact="customer.age", at_least=18.0))
        Compare(fact='customer.age', comparison=<Comparison.AT_LEAST: 'at_least'>, value=18.0)
    """
    if rule is None:
        return ALWAYS
    if rule.negated is not None:
        return Not(part=to_predicate(rule.negated))
    if rule.all_of is not None:
        return AllOf(parts=tuple(to_predicate(part) for part in rule.all_of))
    if rule.any_of is not None:
        return AnyOf(parts=tuple(to_predicate(part) for part in rule.any_of))
    parts = tuple(
        Compare(fact=rule.fact or "", comparison=comparison, value=value)
        for comparison, value in rule.comparisons().items()
    )
    return parts[0] if len(parts) == 1 else AllOf(parts=parts)
