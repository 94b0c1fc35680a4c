"""What was looked up of what lies ahead, packed; see `compact`."""

import numpy as np

from decisioning.foresight.slots import Foresight, SlotPrices
from decisioning.record.packing import Packer, Unpacker


def pack_foresight(packer: Packer, foresight: Foresight) -> None:
    """Write a foresight."""
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
