"""Turn a message's Liquid templates into the words that a customer reads.

A template sees `customer` (attributes), `context` (what the caller sent along) and `offer` (its id, kind and
attributes), and nothing else. What is missing is nothing in a condition, and a text that would have to write it is
refused: a `default` or a condition says what to do instead. Text is not escaped: what escaping a channel needs is that
channel's to know. Templates cannot loop without end, make more than a message holds, read files or ask for the time.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import isinf

from liquid import BoundTemplate, Environment, Mode, RenderContext, Undefined
from liquid.ast import Node
from liquid.exceptions import LiquidError, LocalNamespaceLimitError, LoopIterationLimitError, OutputStreamLimitError

from decisioning.catalogue.message import Message
from decisioning.errors import InvalidPolicyError, MissingFieldError
from decisioning.rules.predicate import FactValue, is_missing
from features.templates.bounds import BoundError, bounded_work
from features.templates.conditions import let_missing_be_blank
from features.templates.filters import Missing, Number, bounded_filters
from features.templates.guards import unguarded_fields

MAX_OUTPUT_BYTES = 100_000
MAX_LOOPS = 1_000
MAX_VARIABLE_BYTES = 100_000
MAX_STEPS = 50_000
"""Turns of a loop, times the nodes of its template: what bounds the time of one rendering."""

TEMPLATE_ROOTS = frozenset({"customer", "context", "offer"})
"""Names that a template may use."""

OFFER_FIELDS = frozenset({"id", "kind"})
"""Fields of `offer` besides its attributes."""

_LIMITS: Mapping[type[Exception], str] = {
    LoopIterationLimitError: f"loop at most {MAX_LOOPS:,} times, and less where there is much in the loop",
    OutputStreamLimitError: f"write at most {MAX_OUTPUT_BYTES:,} bytes",
    LocalNamespaceLimitError: f"keep its variables within {MAX_VARIABLE_BYTES:,} bytes",
}
_MARKS = ("{{", "{%")
_REMOVED_TAGS = ("include", "render")
_COMPILED_TEMPLATES = 20_000


class _Context(RenderContext):
    """A rendering whose loops are bounded by what is in them."""

    def raise_for_loop_limit(self, length: int = 1) -> None:
        """Refuse a loop of so many turns inside those that are running.

        Raises:
            LoopIterationLimitError: It would take too long.
        """
        turns = length
        for loop in self.loops:
            turns *= loop.length
        nodes = getattr(self.template, "node_count", 1)
        if turns > min(MAX_LOOPS, MAX_STEPS // max(1, nodes)):
            raise LoopIterationLimitError("loop iteration limit reached", token=None)


class _Template(BoundTemplate):
    """A template that knows how much is in it."""

    context_class = _Context
    node_count = 1


class _Environment(Environment):
    """Liquid with limits on everything a template can use up."""

    template_class = _Template
    output_stream_limit = MAX_OUTPUT_BYTES
    loop_iteration_limit = MAX_LOOPS
    local_namespace_limit = MAX_VARIABLE_BYTES
    context_depth_limit = 20
    block_nesting_limit = 20


@lru_cache(maxsize=2)
def _environment(undefined: type[Undefined]) -> Environment:
    environment = _Environment(tolerance=Mode.STRICT, undefined=undefined, strict_filters=True, autoescape=False)
    for tag in _REMOVED_TAGS:
        environment.tags.pop(tag)
    environment.filters = bounded_filters(environment.filters)
    return environment


@lru_cache(maxsize=_COMPILED_TEMPLATES)
def compile_template(text: str, undefined: type[Undefined] = Missing) -> BoundTemplate:
    """A template ready to render, with what stands for a missing value; the same text is compiled once.

    Raises:
        InvalidPolicyError: The text is not valid Liquid, or uses a filter or tag that does not exist.
    """
    environment = _environment(undefined)
    try:
        template = environment.from_string(text)
    except LiquidError as error:
        raise InvalidPolicyError(f"template must be valid Liquid ({_words(error)}), got {text[:60]!r}") from error
    for name in template.filter_names():
        if name not in environment.filters:
            raise InvalidPolicyError(f"template must use known filters, got {name!r}")
    if isinstance(template, _Template):
        template.node_count = _count(template.nodes, RenderContext(template))
    let_missing_be_blank(template)
    return template


def _count(nodes: Iterable[Node], context: RenderContext) -> int:
    return sum(1 + _count(node.children(context), context) for node in nodes)


def _words(error: LiquidError) -> str:
    return str(error).partition("\n")[0].strip()


def template_paths(text: str) -> list[tuple[str, ...]]:
    """What a template asks for, as paths such as `("customer", "first_name")`; its own variables are left out.

    Raises:
        InvalidPolicyError: As `compile_template`.
    """
    if not _is_template(text):
        return []
    found = compile_template(text).global_variable_segments()
    return [tuple(str(part) for part in segments) for segments in found]


def fields_written(text: str) -> frozenset[tuple[str, str]]:
    """Fields such as `("customer", "first_name")` that a text writes without a `default` or a condition.

    Raises:
        InvalidPolicyError: As `compile_template`.

    Example:
        >>> fields_written("{{ customer.name }}, {{ customer.city | default: 'hello' }}")
        frozenset({('customer', 'name')})
    """
    return unguarded_fields(compile_template(text), TEMPLATE_ROOTS) if _is_template(text) else frozenset()


def is_known(value: FactValue) -> bool:
    """Whether a value can be written: no number that is none, and no text of nothing but space."""
    return (
        not is_missing(value)
        and not (isinstance(value, str) and not value.strip())
        and not (isinstance(value, float) and isinf(value))
    )


def _is_template(text: str) -> bool:
    return any(mark in text for mark in _MARKS)


def render_template(
    text: str, variables: Mapping[str, Mapping[str, FactValue]], *, missing_is_nothing: bool = False
) -> str:
    """Render one template.

    Args:
        text: The template.
        variables: `customer`, `context` and `offer`; all of them may be absent.
        missing_is_nothing: Write nothing for a field that is missing: for checks, never for a customer.

    Raises:
        MissingFieldError: It would have to write a field that is missing.
        InvalidPolicyError: The template is not valid, met a value that it cannot handle, or went past a limit. The
            message does not show values, since they are the customer's.

    Example:
        >>> render_template("Hello {{ customer.first_name | default: 'you' }}", {})
        'Hello you'
    """
    if not _is_template(text):
        return text
    template = compile_template(text, Undefined if missing_is_nothing else Missing)
    known = {root: _known(variables.get(root, {})) for root in TEMPLATE_ROOTS}
    try:
        with bounded_work():
            return template.render(**known)
    except (BoundError, *_LIMITS) as error:
        rule = error.rule if isinstance(error, BoundError) else _LIMITS[type(error)]
        raise InvalidPolicyError(f"template must {rule}, got {text[:60]!r}") from None
    except (LiquidError, ArithmeticError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, MissingFieldError):
            raise
        rule = "template must render with the values at hand"
        raise InvalidPolicyError(f"{rule}, got {type(error).__name__} from {text[:60]!r}") from None


def _known(values: Mapping[str, FactValue]) -> dict[str, FactValue]:
    """What is not missing, with numbers that read as people write them."""
    return {
        name: Number(value) if isinstance(value, float) else value for name, value in values.items() if is_known(value)
    }


def render_content(
    message: Message, customer: Mapping[str, FactValue], context: Mapping[str, FactValue]
) -> dict[str, str]:
    """The content of a message, by field, for a customer with these attributes and what the caller sent along.

    Raises:
        MissingFieldError: A field that the creative requires, or would have to write, is missing.
        InvalidPolicyError: A template cannot be rendered.
    """
    variables = {"customer": customer, "context": context, "offer": offer_variables(message)}
    for field in message.creative.requires:
        root, _, name = field.partition(".")
        if not is_known(variables[root].get(name)):
            raise MissingFieldError(field)
    return {name: render_template(text, variables) for name, text in message.creative.content.items()}


def offer_variables(message: Message) -> dict[str, FactValue]:
    """What a template sees of the offer: its attributes, `id` and `kind`."""
    offer = message.offer
    return {**offer.attributes, "id": offer.offer_id, "kind": offer.kind}
