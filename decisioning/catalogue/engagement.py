"""Opens and clicks that no person made, and what they count for."""

from collections.abc import Mapping
from dataclasses import dataclass

from decisioning.catalogue.channel import Channel

OPENED = frozenset({"viewed"})
CLICKED = frozenset({"clicked"})
ENGAGED = OPENED | CLICKED
"""Outcomes that a machine can report as well as a person."""

_SUBJECT = "subject"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engagement:
    """How opens and clicks of machines are counted.

    Attributes:
        machine_weight: What one counts for beside a person's, in [0, 1].
        scanned_channels: Channels on which programs open and click before the customer does, as they do with e-mail:
            there, timing tells them too. On others only what the sender says of a report does.
    """

    machine_weight: float = 0.0
    scanned_channels: frozenset[str] = frozenset()


def mail_channels(channels: Mapping[str, Channel]) -> frozenset[str]:
    """Channels whose messages have a subject: mail, which programs open before people do.

    Example:
        >>> mail = Channel(channel_id="email", required_fields=frozenset({"subject", "body"}))
        >>> sorted(mail_channels({"email": mail, "push": Channel(channel_id="push")}))
        ['email']
    """
    return frozenset(k for k, v in channels.items() if _SUBJECT in v.required_fields or _SUBJECT in v.max_lengths)
