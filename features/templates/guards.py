"""Merge fields that a template prints without a default."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from liquid import BoundTemplate, RenderContext
from liquid.ast import Node
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.assign_tag import AssignNode
from liquid.expression import Expression

type Fields = frozenset[tuple[str, str]]
"""Fields as root and name, such as `("customer", "first_name")`."""

_NONE: Fields = frozenset()


def unguarded_fields(template: BoundTemplate, roots: Iterable[str]) -> Fields:
    """Fields of such roots that are written where neither a `default` nor a condition looks at them."""
    return frozenset(_Walk(template=template, roots=frozenset(roots)).written(template.nodes, _NONE))


@dataclass(slots=True, kw_only=True)
class _Walk:
    """One pass through a template, in order; `assigned` is what its own variables may lack."""

    template: BoundTemplate
    roots: frozenset[str]
    assigned: dict[str, Fields] = field(default_factory=dict[str, Fields])

    def written(self, nodes: Iterable[Node], guarded: Fields) -> Iterator[tuple[str, str]]:
        context = RenderContext(self.template)
        for node in nodes:
            if isinstance(node, OutputNode):
                yield from self._uncovered(node.expression) - guarded
            elif isinstance(node, AssignNode):
                self.assigned[str(node.name)] = self._uncovered(node.expression) - guarded
            else:
                asked = _NONE.union(*map(self._fields, node.expressions()))
                yield from self.written(node.children(context), guarded | asked)

    def _uncovered(self, expression: Expression) -> Fields:
        """What an expression needs: a `default` stands in for everything before it."""
        if not isinstance(expression, FilteredExpression):
            return self._fields(expression)
        needed = self._fields(expression.left)
        for one in expression.filters or ():
            arguments = _NONE.union(*map(self._fields, one.children()))
            needed = arguments if one.name == "default" else needed | arguments
        return needed

    def _fields(self, expression: Expression) -> Fields:
        if not isinstance(expression, Path):
            return _NONE.union(*map(self._fields, expression.children()))
        root, *rest = expression.path
        if isinstance(root, str) and root in self.assigned:
            return self.assigned[root]
        is_field = root in self.roots and bool(rest) and isinstance(rest[0], str)
        return frozenset({(str(root), str(rest[0]))}) if is_field else _NONE
