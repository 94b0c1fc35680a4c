"""`blank` and `empty` in conditions: a value that is missing is both, which the library denies."""

from collections.abc import Iterable

from liquid import BoundTemplate, RenderContext, Undefined
from liquid.ast import Node
from liquid.builtin.expressions.logical import EqExpression, NeExpression
from liquid.builtin.expressions.primitive import Blank, Empty
from liquid.expression import Expression


class _OrBlank(Expression):
    """A value that counts as an empty text where it is missing."""

    __slots__ = ("value",)

    def __init__(self, value: Expression) -> None:
        super().__init__(value.token)
        self.value = value

    def __str__(self) -> str:
        return str(self.value)

    def evaluate(self, context: RenderContext) -> object:
        found = self.value.evaluate(context)
        return "" if found is None or isinstance(found, Undefined) else found

    def children(self) -> list[Expression]:
        return [self.value]


def let_missing_be_blank(template: BoundTemplate) -> None:
    """Change a fresh template's comparisons with `blank` and `empty`, so that `!= blank` keeps out what is missing."""
    _in_nodes(template.nodes, RenderContext(template))


def _in_nodes(nodes: Iterable[Node], context: RenderContext) -> None:
    for node in nodes:
        for expression in node.expressions():
            _in_expression(expression)
        _in_nodes(node.children(context), context)


def _in_expression(expression: Expression) -> None:
    if isinstance(expression, EqExpression | NeExpression):
        if isinstance(expression.right, Blank | Empty):
            expression.left = _OrBlank(expression.left)
        elif isinstance(expression.left, Blank | Empty):
            expression.right = _OrBlank(expression.right)
    for part in expression.children():
        _in_expression(part)
