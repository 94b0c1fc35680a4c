"""What lies ahead, as plain values: in a model's bundle whole, in a record as far as it was looked at."""

from collections.abc import Mapping, Sequence
from typing import Any

from decisioning.foresight.slots import Foresight, SlotPrices


def foresight_to_plain(foresight: Foresight) -> dict[str, Any]:
    """A foresight as texts, numbers, lists and mappings; numbers come back exactly."""
    return {"slots": [_slot_to_plain(slot) for slot in foresight.slots]}


def foresight_from_plain(plain: Mapping[str, Any]) -> Foresight:
    """What `foresight_to_plain` wrote.

    Raises:
        KeyError, TypeError, ValueError: Something else.
    """
    return Foresight(slots=tuple(_read_slot(slot) for slot in plain["slots"]))


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


def _reals(numbers: Sequence[float]) -> tuple[float, ...]:
    return tuple(map(float, numbers))
