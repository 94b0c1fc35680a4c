"""What a channel can carry, checked on content as it would arrive: after every merge field was expanded.

SMS follow the GSM 03.38 standard (3GPP TS 23.038, section 6.2.1): text in the 7-bit default alphabet takes one septet a
character, two for the characters of its extension table; a single other character puts the whole text into UCS-2 with
one 16-bit code unit a character, two beyond the basic plane. A message holds 160 septets or 70 code units; longer text
is sent in parts of 153 and 67, the rest is taken by the header that joins them (3GPP TS 23.040, section 9.2.3.24.1).
"""

from collections.abc import Iterator, Mapping

from decisioning.catalogue.channel import Channel

GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""The default alphabet without its escape character."""

GSM_EXTENSION = frozenset("\f^{}\\[~]|€")
"""Characters that cost an escape and a second septet."""

BODY = "body"
"""The content field that SMS segments and line width are counted in."""

FORMAT = "format"
"""The content field that names a paper size or the like."""

_GSM_SINGLE, _GSM_PART = 160, 153
_UCS2_SINGLE, _UCS2_PART = 70, 67
_LAST_OF_BASIC_PLANE = 0xFFFF


def is_gsm(text: str) -> bool:
    """True where the text fits the 7-bit alphabet with its extension table.

    Example:
        >>> is_gsm("5 € off {today}"), is_gsm("naïve")
        (True, False)
    """
    return GSM_BASIC.union(GSM_EXTENSION).issuperset(text)


def sms_segments(text: str) -> int:
    """Messages that a text is sent and billed as; an empty one is one.

    A character is never cut in two: an escaped character or a surrogate pair that does not fit begins the next part.

    Example:
        >>> sms_segments("a" * 160), sms_segments("a" * 161), sms_segments("é" * 160), sms_segments("ê" * 71)
        (1, 2, 1, 2)
    """
    has_gsm = is_gsm(text)
    single, part = (_GSM_SINGLE, _GSM_PART) if has_gsm else (_UCS2_SINGLE, _UCS2_PART)
    sizes = list(_sizes(text, has_gsm=has_gsm))
    if sum(sizes) <= single:
        return 1
    count, room = 1, part
    for size in sizes:
        if size > room:
            count, room = count + 1, part
        room -= size
    return count


def creative_faults(channel: Channel, content: Mapping[str, str]) -> tuple[str, ...]:
    """What about expanded content the channel cannot carry; empty where all is well.

    The words name fields and figures, never the content: that may hold personal data.

    Args:
        channel: With its limits.
        content: Text by field, merge fields expanded.

    Example:
        >>> push = Channel(channel_id="push", max_lengths={"title": 5}, required_fields=frozenset({"title", "image"}))
        >>> creative_faults(push, {"title": "Hello Ada"})
        ('image is missing', 'title has 9 characters, at most 5 fit')
    """
    return (
        *_missing_fields(channel, content),
        *_long_fields(channel, content),
        *_sms_faults(channel, content),
        *_wide_lines(channel, content),
        *_format_faults(channel, content),
    )


def _sizes(text: str, *, has_gsm: bool) -> Iterator[int]:
    if has_gsm:
        return (2 if letter in GSM_EXTENSION else 1 for letter in text)
    return (2 if ord(letter) > _LAST_OF_BASIC_PLANE else 1 for letter in text)


def _missing_fields(channel: Channel, content: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(channel.required_fields):
        if not content.get(name, "").strip():
            yield f"{name} is missing"


def _long_fields(channel: Channel, content: Mapping[str, str]) -> Iterator[str]:
    for name, longest in sorted(channel.max_lengths.items()):
        length = len(content.get(name, ""))
        if length > longest:
            yield f"{name} has {length} characters, at most {longest} fit"


def _sms_faults(channel: Channel, content: Mapping[str, str]) -> Iterator[str]:
    most = channel.max_sms_segments
    if most is None:
        return
    text = content.get(BODY, "")
    count = sms_segments(text)
    if count > most:
        alphabet = "GSM-7" if is_gsm(text) else "UCS-2"
        yield f"{BODY} needs {count} SMS segments in {alphabet}, at most {most} are allowed"


def _wide_lines(channel: Channel, content: Mapping[str, str]) -> Iterator[str]:
    widest = channel.max_line_width
    if widest is None:
        return
    width = max(map(len, content.get(BODY, "").splitlines()), default=0)
    if width > widest:
        yield f"{BODY} has a line of {width} characters, at most {widest} fit"


def _format_faults(channel: Channel, content: Mapping[str, str]) -> Iterator[str]:
    if channel.allowed_formats and content.get(FORMAT, "").strip() not in channel.allowed_formats:
        yield f"{FORMAT} must be one of {', '.join(sorted(channel.allowed_formats))}"
