"""Which messages cannot be sent with a customer's merge fields; checked before the choice.

If a message proved too long, or lacked a name, only after it was chosen, the decision could not be sent and its
probabilities would be wrong. So every message that could fail is rendered first. Most need not be: content without
merge fields is checked once, when the catalogue comes into force, and where no field is missing and the longest text
that the customer's values can make still fits, nothing is rendered. Messages that merge the same fields are alike in
that, so the one with the least room is asked for all of them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from decisioning.catalogue.channel import Channel
from decisioning.catalogue.creative_limits import BODY, FORMAT, creative_faults
from decisioning.catalogue.message import Message
from decisioning.errors import InvalidPolicyError, MissingFieldError
from decisioning.rules.predicate import FactValue
from features.templates.renderer import fields_written, is_known, offer_variables, render_content

NOT_RENDERED = "its template cannot be put into words for this customer"

_MARKS = ("{{", "{%")
_TAG = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_CASES = "upcase|downcase|capitalize|strip"
_MERGE = re.compile(
    r"\s*(customer|context|offer)\.(\w+)\s*(?:\|\s*default:\s*(?:'([^']*)'|\"([^\"]*)\")\s*)?"
    rf"((?:\|\s*(?:{_CASES})\s*)*)"
)
_LARGEST_CASE_GROWTH = 3
"""What one character becomes at most in another case: the ligature of f, f and i is three capitals."""
_ONE_SEGMENT_UNITS, _SEGMENT_UNITS = 70, 66
"""UTF-16 units that fit in one SMS, and in each of several, in its wider alphabet."""

_NUMBER_UNITS = 32

type FieldValues = Mapping[str, Mapping[str, FactValue]]
"""What a template sees, by the names of its roots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The result for one ask.

    Attributes:
        unfit: What is wrong, by key of each message that cannot be carried.
        contents: Content by field of the messages that were rendered on the way, by their key.
    """

    unfit: Mapping[str, str]
    contents: Mapping[str, Mapping[str, str]]


class _Merge(NamedTuple):
    """A value that is merged in: where it is, units of its default, and by how much its filters may lengthen it."""

    root: str
    name: str
    default: int
    growth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bound:
    """A field that fits where its literal text and the values merged into it have at most `most` UTF-16 units."""

    literal: int
    merges: tuple[_Merge, ...]
    most: int

    def holds(self, values: FieldValues) -> bool:
        return self.literal + _units_merged(self.merges, values) <= self.most


@dataclass(frozen=True, slots=True, kw_only=True)
class _Check:
    """A message that could fail.

    Attributes:
        needs: Fields without which it is not sent, by root and name.
        bounds: Of its texts; where all hold, nothing is rendered.
        is_open: It is always rendered, since no cheaper check is enough.
        alike: What it has in common with others; None where only its own offer's values tell.
    """

    message: Message
    key: str
    offer: Mapping[str, FactValue]
    needs: tuple[tuple[str, str], ...]
    bounds: tuple[_Bound, ...]
    is_open: bool
    alike: "_Alike | None"


type _Alike = tuple[str, tuple[tuple[str, str], ...], tuple[tuple[_Merge, ...], ...]]
"""A channel, needs, and what is merged into each text."""


class _Groups:
    """Messages by what they have in common, each group with the least room that one of them has for its values."""

    def __init__(self, checks: Sequence[_Check]) -> None:
        self._least: dict[_Alike, list[int]] = {}
        for check in checks:
            if check.alike is not None:
                room = [bound.most - bound.literal for bound in check.bounds]
                known = self._least.setdefault(check.alike, room)
                known[:] = map(min, known, room)
        self._are_all = all(check.alike is not None for check in checks)

    def failed(self, values: FieldValues, channels: frozenset[str]) -> set[_Alike | None]:
        """The groups of which some message may not fit; none where every message does."""
        found: set[_Alike | None] = {
            alike for alike, least in self._least.items() if alike[0] in channels and not _fits(alike, least, values)
        }
        return found if self._are_all else {None, *found}


def _fits(alike: _Alike, least: Sequence[int], values: FieldValues) -> bool:
    _, needs, texts = alike
    return all(is_known(values[root].get(name)) for root, name in needs) and all(
        _units_merged(merges, values) <= room for merges, room in zip(texts, least, strict=True)
    )


def _units_merged(merges: Sequence[_Merge], values: FieldValues) -> int:
    units = 0
    for root, name, default, growth in merges:
        units += growth * max(default, _units_of(values[root].get(name)))
    return units


class Fitting:
    """The checks of one touchpoint's messages, prepared once."""

    __slots__ = ("_checks", "_groups", "_messages", "_unfit")

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = {message.key: message for message in messages}
        self._unfit = {one.key: "; ".join(faults) for one in messages if (faults := _lasting_faults(one))}
        self._checks = tuple(
            check for one in messages if one.key not in self._unfit and (check := _check_of(one)) is not None
        )
        self._groups = _Groups(self._checks)

    def fit(self, customer: Mapping[str, FactValue], context: Mapping[str, FactValue], channels: frozenset[str]) -> Fit:
        """Find the messages that cannot be carried to this customer.

        Args:
            customer: The customer's attributes by name.
            context: What the caller sent along.
            channels: Channels that are asked for and can be reached; nothing travels on others, so they are passed
                over.
        """
        unfit, contents = dict(self._unfit), dict[str, Mapping[str, str]]()
        failed = self._groups.failed({"customer": customer, "context": context}, channels)
        for check in self._checks if failed else ():
            if check.alike in failed and check.message.channel.channel_id in channels:
                problem = _problem(check, customer, context, contents)
                if problem is not None:
                    unfit[check.key] = problem
        return Fit(unfit=unfit, contents=contents)

    def has(self, key: str) -> bool:
        """Whether the touchpoint has a message of this key."""
        return key in self._messages

    def message(self, key: str) -> Message:
        """A message of the touchpoint by its key."""
        return self._messages[key]


def _problem(
    check: _Check,
    customer: Mapping[str, FactValue],
    context: Mapping[str, FactValue],
    contents: dict[str, Mapping[str, str]],
) -> str | None:
    """What is wrong with a message, which is rendered into `contents` only where nothing less tells."""
    values: FieldValues = {"customer": customer, "context": context, "offer": check.offer}
    if gaps := [f"{root}.{name}" for root, name in check.needs if not is_known(values[root].get(name))]:
        return missing_words(gaps)
    if not check.is_open and all(bound.holds(values) for bound in check.bounds):
        return None
    try:
        content = contents[check.key] = render_content(check.message, customer, context)
    except MissingFieldError as error:
        return missing_words([error.field])
    except InvalidPolicyError:
        return NOT_RENDERED
    return "; ".join(creative_faults(check.message.channel, content)) or None


def missing_words(fields: Sequence[str]) -> str:
    """Why a message is not for a customer whose fields are missing."""
    return f"{', '.join(fields)} {'is' if len(fields) == 1 else 'are'} missing"


def _is_template(text: str) -> bool:
    return any(mark in text for mark in _MARKS)


def _lasting_faults(message: Message) -> tuple[str, ...]:
    """What is wrong with a message whatever is merged into it: a template counts as the least that would do."""
    content = {
        name: text if not _is_template(text) else "x" if name in message.channel.required_fields else ""
        for name, text in message.creative.content.items()
    }
    if _is_template(message.creative.content.get(FORMAT, "")):
        content[FORMAT] = min(message.channel.allowed_formats, default="x")
    return creative_faults(message.channel, content)


def _check_of(message: Message) -> _Check | None:
    """How to check a message that no lasting fault rules out; None where nothing can break."""
    bounds: list[_Bound] = []
    needs = {(root, name) for root, _, name in (field.partition(".") for field in message.creative.requires)}
    needs_rendering = False
    for name, text in message.creative.content.items():
        if not _is_template(text):
            continue
        plain, most = _plain(text), _most_units(message.channel, name)
        is_inked = name not in message.channel.required_fields or bool(_TAG.sub("", text).strip())
        if plain is None or name == FORMAT or not is_inked:
            needs_rendering = True
            continue
        needs |= fields_written(text)
        if most is not None:
            bounds.append(_Bound(literal=plain[0], merges=plain[1], most=most))
    if not (bounds or needs or needs_rendering):
        return None
    roots = {root for root, _ in needs} | {one.root for bound in bounds for one in bound.merges}
    alike = message.channel.channel_id, tuple(sorted(needs)), tuple(bound.merges for bound in bounds)
    return _Check(
        message=message,
        key=message.key,
        offer=offer_variables(message),
        needs=tuple(sorted(needs)),
        bounds=tuple(bounds),
        is_open=needs_rendering,
        alike=None if needs_rendering or "offer" in roots else alike,
    )


def _plain(text: str) -> tuple[int, tuple[_Merge, ...]] | None:
    """Units of literal text and the values of a template that merges them, in another case at most; else None."""
    pieces = _TAG.split(text)  # literal, tag, literal, ... literal
    literals, tags = pieces[::2], pieces[1::2]
    if any(_is_template(piece) for piece in literals):
        return None
    merges: list[_Merge] = []
    for tag in tags:
        found = _MERGE.fullmatch(tag)
        if found is None:
            return None
        root, name, single, double, cases = found.groups()
        growth = _LARGEST_CASE_GROWTH if cases else 1
        merges.append(_Merge(root, name, _units(single or double or ""), growth))
    return sum(map(_units, literals)), tuple(merges)


def _most_units(channel: Channel, name: str) -> int | None:
    """UTF-16 units of a field that fit whatever they are; None where the channel sets no bound on it."""
    bounds: list[int] = []
    if name in channel.max_lengths:
        bounds.append(channel.max_lengths[name])
    if name == BODY and channel.max_sms_segments is not None:
        several = _SEGMENT_UNITS * channel.max_sms_segments
        bounds.append(_ONE_SEGMENT_UNITS if channel.max_sms_segments == 1 else several)
    if name == BODY and channel.max_line_width is not None:
        bounds.append(channel.max_line_width)
    return min(bounds) if bounds else None


def _units(text: str) -> int:
    return len(text) if text.isascii() else 2 * len(text)


def _units_of(value: FactValue) -> int:
    if isinstance(value, str):
        return _units(value)
    return 0 if value is None else _NUMBER_UNITS
