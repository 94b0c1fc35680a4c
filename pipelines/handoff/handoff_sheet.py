"""The file that a mail house, a call centre or a desk gets: one row per message, with nothing but what they need."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from decisioning.catalogue.channel import Channel
from decisioning.catalogue.creative_limits import FORMAT
from decisioning.catalogue.message import Message
from decisioning.errors import InvalidInputError
from decisioning.gates.arrival import arrives_at, run_at
from decisioning.rules.number_words import number_words
from decisioning.rules.predicate import FactValue, is_missing
from features.templates.renderer import render_content

SUFFIXES = (".csv", ".parquet")
"""Kinds of file that can be written."""

RETURN_COLUMNS = ("type", "occurred_at", "value", "note")
"""Empty columns for the person who delivers the message to fill in, so that the same file can come back."""

_BYTE_ORDER_MARK = "\ufeff"  # by which Excel knows UTF-8
_FORMULA = re.compile(r"^(?:[=@\t\r]|[+-](?![\d ()./-]*$))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """One message to be carried by hand.

    Attributes:
        hand_over_on: Day of the run that it goes with, in the channel's zone.
        arrives_on: Day on which it reaches the customer, in the same zone.
        format: Size or kind of paper; None where the content names none.
        address: The channel's address fields.
        content: What it says, by field.
    """

    decision_id: str
    customer_id: str
    touchpoint_id: str
    offer_id: str
    channel_id: str
    creative_id: str
    hand_over_on: date
    arrives_on: date
    format: str | None
    address: Mapping[str, str]
    content: Mapping[str, str]

    def as_row(self) -> dict[str, date | str | None]:
        """A row of the file."""
        return {
            "decision_id": self.decision_id,
            "customer_id": self.customer_id,
            "touchpoint": self.touchpoint_id,
            "offer_id": self.offer_id,
            "channel": self.channel_id,
            "creative_id": self.creative_id,
            "hand_over_on": self.hand_over_on,
            "arrives_on": self.arrives_on,
            "format": self.format,
            **{f"address_{name}": text for name, text in self.address.items()},
            **{f"content_{name}": text for name, text in self.content.items()},
            **dict.fromkeys(RETURN_COLUMNS),
        }


def slip_of(
    decision: Mapping[str, str],
    message: Message,
    attributes: Mapping[str, FactValue],
    context: Mapping[str, FactValue],
    now: datetime,
) -> Slip:
    """The slip of a decision, as things are now.

    Raises:
        InvalidPolicyError: Its content cannot be rendered.
    """
    channel, content = message.channel, render_content(message, attributes, context)
    zone = ZoneInfo(channel.zone)
    return Slip(
        decision_id=decision["decision_id"],
        customer_id=decision["customer_id"],
        touchpoint_id=decision["touchpoint"],
        offer_id=message.offer.offer_id,
        channel_id=channel.channel_id,
        creative_id=message.creative.creative_id,
        hand_over_on=run_at(channel, now).astimezone(zone).date(),
        arrives_on=arrives_at(channel, now).astimezone(zone).date(),
        format=content.get(FORMAT),
        address={name: _address_line(attributes[name]) for name in channel.address_fields},
        content={name: text for name, text in content.items() if name != FORMAT},
    )


def missing_address(channel: Channel, attributes: Mapping[str, FactValue]) -> list[str]:
    """Address fields that the channel needs and the profile does not hold."""
    return [name for name in channel.address_fields if is_missing(value := attributes.get(name)) or value == ""]


def sheet_bytes(slips: Sequence[Slip], suffix: str) -> bytes:
    """Slips, at least one, as a file of one of `SUFFIXES`, in their order."""
    names = {name: None for slip in slips for name in slip.as_row() if name not in RETURN_COLUMNS}
    columns = [*names, *RETURN_COLUMNS]
    schema = {name: pl.Date() if name.endswith("_on") and name in _DAYS else pl.String() for name in columns}
    return table_bytes(pl.DataFrame([slip.as_row() for slip in slips], schema=schema), suffix)


_DAYS = frozenset({"hand_over_on", "arrives_on"})


def table_bytes(frame: pl.DataFrame, suffix: str) -> bytes:
    """A table as CSV that spreadsheets open as it is meant, or as Parquet.

    In CSV a text that a spreadsheet would run as a formula gets an apostrophe before it.
    """
    buffer = io.BytesIO()
    if suffix == ".parquet":
        frame.write_parquet(buffer)
        return buffer.getvalue()
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    harmless = frame.with_columns(pl.col(name).map_elements(_harmless, return_dtype=pl.String) for name in texts)
    harmless.write_csv(buffer)
    return _BYTE_ORDER_MARK.encode() + buffer.getvalue()


def check_suffix(path: Path) -> None:
    """Refuse a file of a kind that cannot be written.

    Raises:
        InvalidInputError: It is none of `SUFFIXES`.
    """
    if path.suffix not in SUFFIXES:
        raise InvalidInputError(f"OUT must end in {' or '.join(SUFFIXES)}, got {path.name}; choose one of them")


def _address_line(value: FactValue) -> str:
    return number_words(value) if isinstance(value, float) else str(value)


def _harmless(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text
