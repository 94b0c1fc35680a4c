"""The tamper-evident chain: every decision that the engine made is committed to, and the commitments are chained.

A decision's row that reaches the log gets a random `record_key` and a `commitment`, HMAC-SHA256(record_key, row), which
becomes the next entry of its shard's chain, in the table `audit_chain`:

    hash = HMAC-SHA256(audit key, previous hash | chain | sequence | kind | commitment)

Whoever can write to the log but has not the server's audit key can neither change a row, nor take one out, nor add one
without the chain showing it. What the chain alone cannot show is that its newest entries are gone: note its heads
elsewhere from time to time and compare.

The chain holds no word about anybody: a commitment is a random number to all who have not the record key, and that key
goes with the row. So a person is erased by writing an `erasure` entry for each of their rows and deleting the rows; the
chain still verifies, and nothing in it leads back to them.

The log is written at least once, and so is the chain: an entry that stands there twice commits to the same row twice.
"""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import polars as pl

from decisioning.errors import InvalidInputError, LogUnavailableError
from features.key_file import key_text
from features.log.contracts import DECISIONS, Column, Table
from features.log.event_log import Appended, EventLog
from features.online.redis_keys import shard_of
from features.settings import Settings

GENESIS = "0" * 64
"""What stands for the hash before a chain's first entry."""


class EntryKind(StrEnum):
    """What an entry of the chain says: this row was logged, or this row was erased."""

    DECISION = "decision"
    ERASURE = "erasure"


def _column(name: str, dtype: pl.DataType, meaning: str) -> Column:
    return Column(name=name, dtype=dtype, is_required=True, meaning=meaning)


AUDIT_CHAIN = Table(
    name="audit_chain",
    key=("chain", "sequence"),
    time_column="sequence",
    columns=(
        _column("chain", pl.Int64(), "shard whose decisions it chains"),
        _column("sequence", pl.Int64(), "place in the chain, from 1"),
        _column("kind", pl.String(), "decision or erasure"),
        _column("commitment", pl.String(), "commitment of the row that was logged or erased"),
        _column("previous_hash", pl.String(), "hash of the entry before"),
        _column("hash", pl.String(), "keyed hash of this entry and the one before"),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest entry of a chain; sequence 0 before the first."""

    sequence: int = 0
    hash: str = GENESIS


_NO_HEAD = Head()


def entry_hash(audit_key: bytes, entry: Mapping[str, Any]) -> str:
    """Hash of an entry, which binds it to the one before and to its place."""
    named = ("previous_hash", "chain", "sequence", "kind", "commitment")
    return _hash_of(audit_key, *(entry[name] for name in named))


def _hash_of(audit_key: bytes, previous_hash: str, chain: int, sequence: int, kind: str, commitment: str) -> str:
    text = f"{previous_hash}|{chain}|{sequence}|{kind}|{commitment}"
    return hmac.digest(audit_key, text.encode(), "sha256").hex()


def load_audit_key(settings: Settings) -> bytes:
    """The server's audit key: NEXTBEST_AUDIT_KEY, else the key file below home, made on first use.

    Raises:
        LogUnavailableError: The file cannot be read or made.
        InvalidInputError: The key is empty.
    """
    path = settings.audit_key_path
    try:
        own = settings.audit_key
        key = key_text(path) if own is None else own.get_secret_value().encode()
    except OSError as error:
        raise LogUnavailableError(
            f"audit key must be readable, got {error.strerror} at {path}; repair the file or set NEXTBEST_AUDIT_KEY"
        ) from error
    if not key:
        raise InvalidInputError("audit key must be a secret text, got an empty one; set NEXTBEST_AUDIT_KEY anew")
    return key


class ChainedLog(EventLog):
    """The event log of a server: decisions that are appended are chained too.

    Appending is repeated after a crash anyway, and then chains what was stored but not chained.
    """

    def __init__(self, path: Path, audit_key: bytes) -> None:
        super().__init__(path)
        self._key = audit_key
        self._heads: tuple[int, dict[int, Head]] = (-1, {})
        """As of one version of the table: a writer that is alone need not read them again."""

    def append(self, table: Table, rows: pl.DataFrame) -> Appended:
        """As `EventLog.append`; sealed decisions then become entries of their shard's chain.

        Raises:
            InvalidInputError: A column is unknown, of a wrong type, or required and missing.
            LogUnavailableError: The log or the chain could not be written: append again.
        """
        done = super().append(table, rows)
        if table.name == DECISIONS.name and "commitment" in rows.columns:
            sealed = rows.filter(pl.col("commitment").is_not_null()).select("decision_id", "customer_id", "commitment")
            self._chain_decisions(sealed, are_all_new=done.inserted == rows.height)
        return done

    def is_genuine(self, entry: Mapping[str, Any]) -> bool:
        """Whether the server wrote this entry of the chain in this place, by its hash."""
        return hmac.compare_digest(entry_hash(self._key, entry).encode(), str(entry["hash"]).encode())

    def erase(self, decision_ids: Sequence[str]) -> int:
        """Write an erasure entry for each of these decisions that the log still holds; how many were written.

        Call it before the rows are deleted: afterwards nobody can tell which entries were theirs.

        Raises:
            LogUnavailableError: The log could not be read or the chain not be written.
        """
        rows = self._stored(decision_ids)
        return self._extend(EntryKind.ERASURE, self._unsaid(rows, EntryKind.ERASURE))

    def _chain_decisions(self, rows: pl.DataFrame, *, are_all_new: bool) -> None:
        if rows.is_empty():
            return
        if not are_all_new:  # the first row of a key stands, and it may be another than this one
            rows = self._unsaid(self._stored(rows["decision_id"].to_list()), EntryKind.DECISION)
        self._extend(EntryKind.DECISION, rows)

    def _stored(self, decision_ids: Sequence[str]) -> pl.DataFrame:
        columns = ["decision_id", "customer_id", "commitment"]
        rows = self.scan(DECISIONS).filter(pl.col("decision_id").is_in(list(decision_ids))).select(columns)
        return self.collect(DECISIONS, rows).filter(pl.col("commitment").is_not_null())

    def _unsaid(self, rows: pl.DataFrame, kind: EntryKind) -> pl.DataFrame:
        """Rows that the chain has no entry of this kind for."""
        wanted = pl.col("commitment").is_in(rows["commitment"].to_list()) & (pl.col("kind") == kind.value)
        known = self.collect(AUDIT_CHAIN, self.scan(AUDIT_CHAIN).filter(wanted).select("commitment"))
        return rows.join(known, on="commitment", how="anti", maintain_order="left")

    def _extend(self, kind: EntryKind, rows: pl.DataFrame) -> int:
        """Append one entry per row to the chains, after whatever others appended meanwhile."""
        if rows.is_empty():
            return 0
        links = [(shard_of(customer), commitment) for _, customer, commitment in rows.iter_rows()]
        heads: dict[int, Head] = {}

        def entries(version: int, stored: pl.LazyFrame) -> pl.DataFrame:
            heads.clear()
            seen, known = self._heads
            heads.update(known if version == seen else heads_of(stored))
            return self._linked(kind.value, links, heads)

        self._heads = (self.extend(AUDIT_CHAIN, entries), heads)
        return len(links)

    def _linked(self, kind: str, links: Iterable[tuple[int, str]], heads: dict[int, Head]) -> pl.DataFrame:
        """The next entries of the chains, whose heads move on."""
        found: list[tuple[int, int, str, str, str, str]] = []
        for chain, commitment in links:
            head = heads.get(chain, _NO_HEAD)
            sequence = head.sequence + 1
            own = _hash_of(self._key, head.hash, chain, sequence, kind, commitment)
            found.append((chain, sequence, kind, commitment, head.hash, own))
            heads[chain] = Head(sequence=sequence, hash=own)
        return pl.DataFrame(found, schema=pl.Schema(AUDIT_CHAIN.schema), orient="row")


def open_log(settings: Settings) -> ChainedLog:
    """The event log below a home, with its chain.

    Raises:
        LogUnavailableError: The audit key cannot be read or made.
    """
    return ChainedLog(settings.log_path, load_audit_key(settings))


def heads_of(chain: pl.LazyFrame) -> dict[int, Head]:
    """The newest entry of every chain, from rows of the table `audit_chain` in any order."""
    newest = chain.select("chain", "sequence", "hash").sort("sequence").group_by("chain").last().collect()
    return {one["chain"]: Head(sequence=one["sequence"], hash=one["hash"]) for one in newest.to_dicts()}
