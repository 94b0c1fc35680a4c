"""How messages travel: channels, what they cost, and what they can carry."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """How a message travels.

    Attributes:
        channel_id: Name, such as `email`.
        cost_minor: What one contact costs, in minor units of the catalogue's currency.
        is_online: False for call centre, direct mail, desk and event.
        max_lengths: Longest content per field, in characters; a field that is not named is not limited.
        required_fields: Content fields that a creative on this channel must have.
        max_sms_segments: Most SMS segments that the field `body` may need; None where it is no SMS.
        max_line_width: Longest line of the field `body`, in characters; None for no bound.
        allowed_formats: Words that the content field `format` may be, such as paper sizes; empty for any.
        lead_time_seconds: Time from hand-off to arrival, when the offer must still be valid.
        cut_off_minute: Minute of the local day after which a hand-over counts to the next day; None for none.
        zone: IANA zone of the cut-off.
        purposes: Goals that it serves, by journey stage; in a stage that is not named it serves none. None where it
            serves every goal everywhere.
        address_fields: Attributes of the customer needed to deliver it by hand, such as a street.
    """

    channel_id: str
    cost_minor: float = 0.0
    is_online: bool = True
    max_lengths: Mapping[str, int] = field(default_factory=dict[str, int])
    required_fields: frozenset[str] = frozenset()
    max_sms_segments: int | None = None
    max_line_width: int | None = None
    allowed_formats: frozenset[str] = frozenset()
    lead_time_seconds: float = 0.0
    cut_off_minute: int | None = None
    zone: str = "UTC"
    purposes: Mapping[str, frozenset[str]] | None = None
    address_fields: tuple[str, ...] = ()
