"""Residuals of a decision, packed: priors of all rows, evidence of those that have any; see `compact`."""

import numpy as np

from decisioning.arrays import FloatArray
from decisioning.record.packing import Packer, Unpacker
from decisioning.residuals import Residuals, ResidualsByStage, rounded

_LARGEST_SHORT = 2.0**16 - 1


def pack_residuals(packer: Packer, residuals: ResidualsByStage) -> None:
    """Priors of all rows, evidence of those that have any."""
    packer.number(len(residuals))
    for stage_id, one in residuals.items():
        packer.word(stage_id)
        packer.number(len(one.customers))
        packer.usual_column(one.prior_deviation)
        packer.raw(np.packbits(one.has_evidence).tobytes())
        _pack_shorts(packer, one.estimate[one.has_evidence])
        _pack_shorts(packer, one.standard_error[one.has_evidence])
        _pack_counts(packer, one.customers[one.has_evidence])


def read_residuals(packed: Unpacker) -> dict[str, Residuals]:
    """What `pack_residuals` wrote."""
    return {packed.text(): _read_stage(packed) for _ in range(packed.number())}


def _read_stage(packed: Unpacker) -> Residuals:
    count = packed.number()
    prior = packed.column(count)
    bits = np.frombuffer(packed.raw((count + 7) // 8), dtype=np.uint8)
    has_evidence = np.unpackbits(bits, count=count).astype(np.bool_)
    told = int(has_evidence.sum())
    estimate, error, customers = np.zeros(count), np.full(count, np.inf), np.zeros(count)
    estimate[has_evidence], error[has_evidence] = _read_shorts(packed, told), _read_shorts(packed, told)
    customers[has_evidence] = _read_counts(packed, told)
    return Residuals(prior, estimate, error, customers)


def _pack_shorts(packer: Packer, values: FloatArray) -> None:
    """Doubles of 8 binary digits, see `residuals.rounded`, in two bytes each; others whole."""
    is_short = bool((rounded(values) == values).all())
    packer.flag(is_short)
    if is_short:
        packer.raw((values.astype("<f4").view("<u4") >> np.uint32(16)).astype("<u2").tobytes())
    else:
        packer.column(values)


def _read_shorts(packed: Unpacker, count: int) -> FloatArray:
    if not packed.flag():
        return packed.column(count)
    bits = np.frombuffer(packed.raw(2 * count), dtype="<u2").astype("<u4") << np.uint32(16)
    return bits.view("<f4").astype(np.float64)


def _pack_counts(packer: Packer, counts: FloatArray) -> None:
    """Whole numbers in two bytes each; others as doubles."""
    shorts = np.minimum(counts, _LARGEST_SHORT).astype("<u2")
    is_short = bool((shorts == counts).all())
    packer.flag(is_short)
    if is_short:
        packer.raw(shorts.tobytes())
    else:
        packer.column(counts)


def _read_counts(packed: Unpacker, count: int) -> FloatArray:
    if not packed.flag():
        return packed.column(count)
    return np.frombuffer(packed.raw(2 * count), dtype="<u2").astype(np.float64)
