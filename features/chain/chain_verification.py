"""Whether the log is what was chained: links recomputed, rows matched to their commitments, faults named with place.

The one thing that a chain cannot tell by itself is that its end is missing together with the rows it stood for:
compare with heads that were noted elsewhere.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import polars as pl

from features.chain.audit_chain import AUDIT_CHAIN, ChainedLog, EntryKind, Head, heads_of
from features.chain.decision_seal import is_sealed_by_its_key
from features.log.contracts import DECISIONS

BATCH_ROWS = 2_000
_MOST_PLACES = 1_000
_LOOKS = 4


class FaultKind(StrEnum):
    """What can be wrong."""

    ALTERED_ROW = "altered_row"  # a decision's row is not the one that was committed to
    MISSING_ROW = "missing_row"  # the chain has a decision that the log has not, and nobody erased it
    EXTRA_ROW = "extra_row"  # the engine's record of a decision that the chain has not
    NOT_ERASED = "not_erased"  # the chain says erased, and the row is still there
    ALTERED_LINK = "altered_link"  # an entry of the chain is not the one that was written
    MISSING_LINK = "missing_link"  # entries of the chain are gone
    REORDERED_LINK = "reordered_link"  # an entry stands where another one stood
    CUT_SHORT = "cut_short"  # the chain ends before a head that was noted, or went another way


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainFault:
    """Something that is wrong, with its place: a decision id, or chain and sequence."""

    kind: FaultKind
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was found.

    Attributes:
        decisions: Rows of decisions that match their entry.
        erased: Decisions whose erasure is chained.
        imported: Rows without a record, brought in from elsewhere; no chain covers them.
        heads: Newest entry by chain: note them elsewhere.
    """

    decisions: int
    entries: int
    erased: int
    imported: int
    faults: tuple[ChainFault, ...]
    heads: Mapping[int, Head]


@dataclass(slots=True)
class _Found:
    """Tallies while entries and rows go by."""

    logged: dict[str, str] = field(default_factory=dict[str, str])  # place by commitment
    erased: set[str] = field(default_factory=set[str])
    seen: set[str] = field(default_factory=set[str])
    loose: dict[str, str] = field(default_factory=dict[str, str])  # decision id by commitment: sealed, not chained
    faults: list[ChainFault] = field(default_factory=list[ChainFault])
    imported: int = 0

    def fault(self, kind: FaultKind, where: str) -> None:
        self.faults.append(ChainFault(kind=kind, where=where))


def verify_log(
    log: ChainedLog, *, noted: Mapping[int, Head] | None = None, settle_seconds: float = 1.0
) -> Verification:
    """Check every entry of the chain and every row of the table `decisions`.

    Heads that were noted elsewhere, by chain, are compared; what looks loose gets `settle_seconds` to be chained.

    A drain may be at work meanwhile: it stores rows before it chains them, so what looks loose is looked up again.

    Raises:
        LogUnavailableError: The log could not be read.
    """
    found = _Found()
    chain = log.read(AUDIT_CHAIN).sort("chain", "sequence")
    _check_links(log, chain, found)
    _check_noted(chain, noted or {}, found)
    for batch in log.batches(DECISIONS, log.scan(DECISIONS), size=BATCH_ROWS):
        for row in batch.iter_rows(named=True):
            _check_row(row, found)
    _settle(log, found, settle_seconds)
    for commitment, where in found.logged.items():
        if commitment not in found.seen and commitment not in found.erased:
            found.fault(FaultKind.MISSING_ROW, where)
    return Verification(
        decisions=len(found.seen),
        entries=chain.height,
        erased=len(found.erased),
        imported=found.imported,
        faults=tuple(found.faults),
        heads=heads_of(chain.lazy()),
    )


def _check_links(log: ChainedLog, chain: pl.DataFrame, found: _Found) -> None:
    """Recompute every hash, and note what rows the chain stands for."""
    for _, entries in chain.group_by("chain", maintain_order=True):
        head, is_torn, displaced = Head(), False, list[Mapping[str, Any]]()
        for entry in entries.iter_rows(named=True):
            if not log.is_genuine(entry):
                displaced.append(entry)
            elif not is_torn and (entry["previous_hash"], entry["sequence"]) != (head.hash, head.sequence + 1):
                found.fault(FaultKind.MISSING_LINK, f"before {_place(entry)}")
            is_torn = bool(displaced) and displaced[-1] is entry
            head = Head(sequence=entry["sequence"], hash=entry["hash"])
            _note(entry, found)
        for entry in displaced:
            found.fault(_displacement(log, entry, displaced), _place(entry))


def _displacement(log: ChainedLog, entry: Mapping[str, Any], displaced: Sequence[Mapping[str, Any]]) -> FaultKind:
    """Whether an entry that is not genuine where it stands would be so in the place of another such one."""
    places = (other["sequence"] for other in displaced[:_MOST_PLACES])
    was_moved = any(log.is_genuine({**entry, "sequence": place}) for place in places)
    return FaultKind.REORDERED_LINK if was_moved else FaultKind.ALTERED_LINK


def _note(entry: Mapping[str, Any], found: _Found) -> None:
    if entry["kind"] == EntryKind.ERASURE.value:
        found.erased.add(entry["commitment"])
    else:
        found.logged.setdefault(entry["commitment"], _place(entry))


def _place(entry: Mapping[str, Any]) -> str:
    return f"chain {entry['chain']}, entry {entry['sequence']}"


def _check_noted(chain: pl.DataFrame, noted: Mapping[int, Head], found: _Found) -> None:
    hashes = dict(zip(zip(chain["chain"], chain["sequence"], strict=True), chain["hash"], strict=True))
    for name, head in noted.items():
        if head.sequence and hashes.get((name, head.sequence)) != head.hash:
            found.fault(FaultKind.CUT_SHORT, f"chain {name}, entry {head.sequence}")


def _check_row(row: Mapping[str, Any], found: _Found) -> None:
    """Match one row with the chain."""
    commitment, decision_id = row["commitment"], row["decision_id"]
    if commitment is None and row["record_key"] is None and row["record"] is None:
        found.imported += 1
    elif commitment is None or not is_sealed_by_its_key(row):
        found.seen.update({commitment} if commitment in found.logged else ())
        found.fault(FaultKind.ALTERED_ROW, decision_id)
    elif commitment in found.erased:
        found.fault(FaultKind.NOT_ERASED, decision_id)
    elif commitment in found.logged:
        found.seen.add(commitment)
    else:
        found.loose[commitment] = decision_id


def _settle(log: ChainedLog, found: _Found, seconds: float) -> None:
    """Look again at the chain for what was stored or erased while the rows were read."""
    for attempt in range(_LOOKS):
        is_open = found.loose or any(one not in found.seen and one not in found.erased for one in found.logged)
        if not is_open:
            return
        time.sleep(seconds / (_LOOKS - 1) if attempt else 0.0)
        later = _Found()
        for entry in log.read(AUDIT_CHAIN, columns=["chain", "sequence", "kind", "commitment"]).iter_rows(named=True):
            _note(entry, later)
        found.seen.update(found.loose.keys() & later.logged.keys())
        found.loose = {one: name for one, name in found.loose.items() if one not in later.logged}
        found.erased |= later.erased
    for decision_id in found.loose.values():
        found.fault(FaultKind.EXTRA_ROW, decision_id)
