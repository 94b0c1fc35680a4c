"""What was looked up of what lies ahead, and what was put off, packed; see `compact`."""

import numpy as np

from decisioning.decision import BetterHour, PutOff
from decisioning.foresight.hours import HourEffects, HourGroup
from decisioning.foresight.slots import Foresight, SlotPrices
from decisioning.record.packing import Packer, Unpacker
from decisioning.record.vocabulary import NameList


def pack_foresight(packer: Packer, foresight: Foresight) -> None:
    """Write the prices of a foresight."""
    packer.number(len(foresight.slots))
    for slot in foresight.slots:
        packer.word(slot.cap_id)
        packer.word(slot.of)
        packer.number(slot.limit)
        packer.real(slot.window_seconds)
        packer.real(slot.step_seconds)
        packer.number(len(slot.edges_minor))
        packer.usual_column(np.array(slot.edges_minor))
        packer.number(len(slot.prices_minor))
        for recent, row in slot.prices_minor.items():
            packer.number(recent)
            packer.usual_column(np.array(row))


def read_foresight(packed: Unpacker) -> Foresight:
    """What `pack_foresight` wrote."""
    return Foresight(slots=tuple(_read_slot(packed) for _ in range(packed.number())))


def pack_waiting(
    packer: Packer, hours: HourEffects | None, put_off: PutOff | None, better: BetterHour | None, keys: NameList
) -> None:
    """Write what hours add, what was put off before, and what is put off now."""
    packer.flags(hours is not None, put_off is not None, better is not None)
    if hours is not None:
        packer.number(len(hours.by_group))
        for (channel, kind), added in hours.by_group.items():
            packer.word(channel)
            packer.word(kind)
            packer.number(len(added))
            packer.numbers(list(added))
            packer.usual_column(np.array(list(added.values())))
    if put_off is not None:
        packer.moment(put_off.asked_at)
        packer.moment(put_off.until)
    if better is not None:
        packer.number(keys.place_of[better.message_key])
        packer.moment(better.at)
        packer.real(better.priority_minor)
        packer.real(better.present_minor)


def read_waiting(packed: Unpacker, keys: NameList) -> tuple[HourEffects | None, PutOff | None, BetterHour | None]:
    """What `pack_waiting` wrote."""
    has_hours, was_put_off, is_put_off = packed.flags(3)
    hours = HourEffects(by_group=dict(_read_group(packed) for _ in range(packed.number()))) if has_hours else None
    put_off = PutOff(asked_at=packed.moment(), until=packed.moment()) if was_put_off else None
    return hours, put_off, _read_better(packed, keys) if is_put_off else None


def _read_group(packed: Unpacker) -> tuple[HourGroup, dict[int, float]]:
    group, count = (packed.text(), packed.text()), packed.number()
    hours = packed.numbers(count)
    return group, dict(zip(hours, _row(packed, count), strict=True))


def _read_better(packed: Unpacker, keys: NameList) -> BetterHour:
    return BetterHour(
        message_key=keys.all[packed.number()],
        at=packed.moment(),
        priority_minor=packed.real(),
        present_minor=packed.real(),
    )


def _read_slot(packed: Unpacker) -> SlotPrices:
    cap_id, of, limit = packed.text(), packed.text(), packed.number()
    window_seconds, step_seconds, edges = packed.real(), packed.real(), packed.number()
    return SlotPrices(
        cap_id=cap_id,
        of=of,
        limit=limit,
        window_seconds=window_seconds,
        step_seconds=step_seconds,
        edges_minor=_row(packed, edges),
        prices_minor={packed.number(): _row(packed, edges + 1) for _ in range(packed.number())},
    )


def _row(packed: Unpacker, count: int) -> tuple[float, ...]:
    return tuple(packed.column(count).tolist())
