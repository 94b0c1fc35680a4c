"""Turn a message's Liquid templates into the words that a customer reads.

A template sees `customer` (attributes), `context` (what the caller sent along) and `offer` (its id, kind and
attributes), and nothing else. What is unknown renders as nothing. Text is not escaped: what escaping a channel needs
is that channel's to know. Templates cannot loop without end, write without end, read files or ask for the time.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from typing import Any

from liquid import BoundTemplate, Environment, Mode, Undefined
from liquid.exceptions import LiquidError

from decisioning.errors import InvalidPolicyError
from decisioning.message import Message
from decisioning.predicate import FactValue

MAX_OUTPUT_BYTES = 100_000
MAX_LOOPS = 1_000
MAX_VARIABLE_BYTES = 100_000

TEMPLATE_ROOTS = frozenset({"customer", "context", "offer"})
"""Names that a template may use."""

OFFER_FIELDS = frozenset({"id", "kind"})
"""Fields of `offer` besides its attributes."""

_MARKS = ("{{", "{%")
_REMOVED_TAGS = ("include", "render")
_CLOCK_WORDS = frozenset({"now", "today"})
_COMPILED_TEMPLATES = 20_000


class _Environment(Environment):
    """Liquid with limits on everything a template can use up."""

    output_stream_limit = MAX_OUTPUT_BYTES
    loop_iteration_limit = MAX_LOOPS
    local_namespace_limit = MAX_VARIABLE_BYTES
    context_depth_limit = 20
    block_nesting_limit = 20


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that refuses a long range: `(1..1000000000) | join` would fill memory before any limit is met."""

    @wraps(function)
    def checked(value: object, *args: object, **kwargs: object) -> object:
        if isinstance(value, range) and len(value) > MAX_LOOPS:
            raise LiquidError(f"a range must hold at most {MAX_LOOPS} numbers", token=None)
        return function(value, *args, **kwargs)

    return checked


def _timeless(function: Callable[..., Any]) -> Callable[..., Any]:
    """The date filter without the clock: the same message renders the same tomorrow."""

    @wraps(function)
    def checked(value: object, *args: object, **kwargs: object) -> object:
        if isinstance(value, str) and value.strip().lower() in _CLOCK_WORDS:
            raise LiquidError("a date must come from customer, context or offer, not from the clock", token=None)
        return function(value, *args, **kwargs)

    return checked


def _make_environment() -> Environment:
    environment = _Environment(tolerance=Mode.STRICT, undefined=Undefined, strict_filters=True, autoescape=False)
    for tag in _REMOVED_TAGS:
        environment.tags.pop(tag)
    environment.filters = {name: _bounded(function) for name, function in environment.filters.items()}
    environment.filters["date"] = _timeless(environment.filters["date"])
    return environment


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return _make_environment()


@lru_cache(maxsize=_COMPILED_TEMPLATES)
def compile_template(text: str) -> BoundTemplate:
    """A template ready to render; the same text is compiled once.

    Raises:
        InvalidPolicyError: The text is not valid Liquid, or uses a filter or tag that does not exist.
    """
    try:
        template = _environment().from_string(text)
    except LiquidError as error:
        raise InvalidPolicyError(f"template must be valid Liquid ({_words(error)}), got {text[:60]!r}") from error
    for name in template.filter_names():
        if name not in _environment().filters:
            raise InvalidPolicyError(f"template must use known filters, got {name!r}")
    return template


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


def _is_template(text: str) -> bool:
    return any(mark in text for mark in _MARKS)


def render_template(text: str, variables: Mapping[str, Mapping[str, FactValue]]) -> str:
    """Render one template.

    Args:
        text: The template.
        variables: `customer`, `context` and `offer`; absent ones render as nothing.

    Raises:
        InvalidPolicyError: The template is not valid, met a value that it cannot handle, or went past a limit. The
            message does not show values, since they are the customer's.

    Example:
        >>> render_template("Hello {{ customer.first_name | default: 'you' }}", {})
        'Hello you'
    """
    if not _is_template(text):
        return text
    template = compile_template(text)
    try:
        return template.render(**variables)
    except (LiquidError, ArithmeticError, TypeError, ValueError, RecursionError) as error:
        rule = "template must render with the values at hand"
        raise InvalidPolicyError(f"{rule}, got {type(error).__name__} from {text[:60]!r}") from None


def render_content(
    message: Message, customer: Mapping[str, FactValue], context: Mapping[str, FactValue]
) -> dict[str, str]:
    """The content of a message for one customer, by field.

    Args:
        message: What is sent.
        customer: The customer's attributes by name.
        context: What the caller sent along.

    Raises:
        InvalidPolicyError: A template cannot be rendered.
    """
    variables = {"customer": customer, "context": context, "offer": offer_variables(message)}
    return {name: render_template(text, variables) for name, text in message.creative.content.items()}


def offer_variables(message: Message) -> dict[str, FactValue]:
    """What a template sees of the offer: its attributes, `id` and `kind`."""
    offer = message.offer
    return {**offer.attributes, "id": offer.offer_id, "kind": offer.kind}
