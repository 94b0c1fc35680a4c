"""What lies ahead as plain values, in a bundle whole and in a record as far as it was used; what is put off for it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from decisioning.decision import BetterHour, PutOff
from decisioning.foresight.hours import HourEffects
from decisioning.foresight.slots import Foresight, SlotPrices


def foresight_to_plain(foresight: Foresight) -> dict[str, Any]:
    """A foresight as texts, numbers, lists and mappings; numbers come back exactly."""
    plain: dict[str, Any] = {"slots": [_slot_to_plain(slot) for slot in foresight.slots]}
    return plain if foresight.hours is None else {**plain, "hours": _hours_to_plain(foresight.hours)}


def foresight_from_plain(plain: Mapping[str, Any]) -> Foresight:
    """What `foresight_to_plain` wrote.

    Raises:
        KeyError, TypeError, ValueError: Something else.
    """
    hours = plain.get("hours")
    return Foresight(
        slots=tuple(_read_slot(slot) for slot in plain["slots"]), hours=None if hours is None else _read_hours(hours)
    )


def put_off_to_plain(put_off: PutOff) -> dict[str, Any]:
    """An ask that was put off, as texts."""
    return {"asked_at": put_off.asked_at.isoformat(), "until": put_off.until.isoformat()}


def put_off_from_plain(plain: Mapping[str, Any]) -> PutOff:
    """What `put_off_to_plain` wrote."""
    return PutOff(**{name: datetime.fromisoformat(plain[name]) for name in ("asked_at", "until")})


def better_to_plain(better: BetterHour) -> dict[str, Any]:
    """What a decision was put off for, as texts and numbers."""
    return {
        "message_key": better.message_key,
        "at": better.at.isoformat(),
        "priority_minor": better.priority_minor,
        "present_minor": better.present_minor,
    }


def better_from_plain(plain: Mapping[str, Any]) -> BetterHour:
    """What `better_to_plain` wrote."""
    return BetterHour(
        message_key=plain["message_key"],
        at=datetime.fromisoformat(plain["at"]),
        priority_minor=plain["priority_minor"],
        present_minor=plain["present_minor"],
    )


def _slot_to_plain(slot: SlotPrices) -> dict[str, Any]:
    return {
        "cap": slot.cap_id,
        "of": slot.of,
        "limit": slot.limit,
        "window_seconds": slot.window_seconds,
        "step_seconds": slot.step_seconds,
        "edges_minor": list(slot.edges_minor),
        "prices_minor": {str(recent): list(row) for recent, row in slot.prices_minor.items()},
    }


def _read_slot(plain: Mapping[str, Any]) -> SlotPrices:
    return SlotPrices(
        cap_id=plain["cap"],
        of=plain["of"],
        limit=int(plain["limit"]),
        window_seconds=float(plain["window_seconds"]),
        step_seconds=float(plain["step_seconds"]),
        edges_minor=_reals(plain["edges_minor"]),
        prices_minor={int(recent): _reals(row) for recent, row in plain["prices_minor"].items()},
    )


def _hours_to_plain(hours: HourEffects) -> list[dict[str, Any]]:
    return [
        {"channel": channel, "kind": kind, "added": {str(hour): value for hour, value in added.items()}}
        for (channel, kind), added in hours.by_group.items()
    ]


def _read_hours(plain: Sequence[Mapping[str, Any]]) -> HourEffects:
    return HourEffects(
        by_group={
            (one["channel"], one["kind"]): {int(hour): float(value) for hour, value in one["added"].items()}
            for one in plain
        }
    )


def _reals(numbers: Sequence[float]) -> tuple[float, ...]:
    return tuple(map(float, numbers))
