"""Rows out of the event log for good: deleted, their files removed, and the table's own history of versions with them.

A Delta table keeps deleted rows in older files, the least and greatest values of every file in its commits, and in the
commit of a deletion what was asked to be deleted. So after rows are deleted, files that no version in force needs are
removed, a checkpoint is written, and the commits before it are removed as well. Readers that began before lose files
under their feet and are told to try again.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from decisioning.errors import LogUnavailableError
from features.chain.audit_chain import ChainedLog
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES, Table
from features.log.event_log import EventLog
from features.privacy.spellings import quoted_forms

ERASED_WORD = "erased"
"""What stands where somebody else's row named an erased customer."""

_NO_HISTORY = {"delta.logRetentionDuration": "interval 0 days"}
_USUAL_HISTORY = {"delta.logRetentionDuration": "interval 30 days"}
_MENTIONING = {CUSTOMERS.name: ("attributes",), EVENTS.name: ("properties",), OUTCOMES.name: ("properties",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogTraces:
    """What the log knows a customer by.

    Attributes:
        message_ids: Their events and outcomes, as `events:<id>` and `outcomes:<id>`.
    """

    rows: Mapping[str, int]
    decision_ids: tuple[str, ...]
    message_ids: tuple[str, ...]


def log_traces(log: EventLog, customer_id: str) -> LogTraces:
    """What the log holds of a customer.

    Raises:
        LogUnavailableError: The log could not be read.
    """
    ids = {
        table.name: log.read(table, columns=[table.key[0]], customer_ids=[customer_id])[table.key[0]].to_list()
        for table in (CUSTOMERS, EVENTS, DECISIONS, OUTCOMES)
    }
    return LogTraces(
        rows={name: len(found) for name, found in ids.items()},
        decision_ids=tuple(sorted(ids[DECISIONS.name])),
        message_ids=tuple(sorted(f"{table}:{one}" for table in (EVENTS.name, OUTCOMES.name) for one in ids[table])),
    )


def erase_from_log(log: ChainedLog, customer_id: str) -> dict[str, int]:
    """Delete every row of a customer from every table, for good, after an entry in the chain; how many, by table.

    A tombstone of the customer must stand already, so that no row comes back meanwhile.

    Where a row of somebody else names the customer, as the referral of a friend does, the name is taken out.

    Raises:
        LogUnavailableError: The log could not be read or written; repeat it.
    """
    log.erase(log_traces(log, customer_id).decision_ids)
    mine = pl.col("customer_id") == customer_id
    deleted: dict[str, int] = {}
    for table in (OUTCOMES, EVENTS, DECISIONS, CUSTOMERS):
        deleted[table.name] = delete_rows(log, table, mine, f"customer_id = {_quoted(customer_id)}")
        _take_out_mentions(log, table, customer_id)
    with log.erased.erasing():
        for table in (OUTCOMES, EVENTS, DECISIONS, CUSTOMERS):
            forget_versions(log, table)
    return deleted


def delete_rows(log: EventLog, table: Table, rows: pl.Expr, predicate: str) -> int:
    """Delete rows while nobody appends, and count them; their bytes stay until `forget_versions`.

    Which rows is said twice: to Polars, to see whether there are any, and as a predicate in SQL.

    Raises:
        LogUnavailableError: The log could not be written.
    """
    with log.erased.erasing():
        count = log.collect(table, log.scan(table).filter(rows).select(pl.len())).item()
        stored = _stored(log, table)
        if stored is None or not count:
            return 0
        with rewriting(table):
            stored.delete(predicate)
    return count


def forget_versions(log: EventLog, table: Table) -> None:
    """Remove every file and commit that the newest version does not need; call it while nobody appends.

    Raises:
        LogUnavailableError: The log could not be written.
    """
    stored = _stored(log, table)
    if stored is None:
        return
    with rewriting(table):
        stored.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False, full=True)
        stored.alter.set_table_properties(_NO_HISTORY)
        stored.create_checkpoint()
        stored.cleanup_metadata()
        stored.alter.set_table_properties(_USUAL_HISTORY)


def _take_out_mentions(log: EventLog, table: Table, customer_id: str) -> None:
    """Replace the id where it is a whole value in the JSON of other people's rows."""
    columns = _MENTIONING.get(table.name, ())
    with log.erased.erasing():
        for column, named, erased in product(columns, quoted_forms(customer_id), quoted_forms(ERASED_WORD)):
            if _depth(named) == _depth(erased):
                _replace(log, table, column, named, erased)


def _depth(form: str) -> int:
    """How deep in JSON a value stands that is spelt like this: its first quote says it."""
    return form.index('"')


def _replace(log: EventLog, table: Table, column: str, named: str, erased: str) -> None:
    has_any = pl.col(column).str.contains(named, literal=True)
    found = log.collect(table, log.scan(table).filter(has_any).select(pl.len())).item()
    stored = _stored(log, table)
    if stored is None or not found:
        return
    replaced = f"replace({column}, {_quoted(named)}, {_quoted(erased)})"
    with rewriting(table):
        stored.update(updates={column: replaced}, predicate=f"strpos({column}, {_quoted(named)}) > 0")


def _stored(log: EventLog, table: Table) -> DeltaTable | None:
    path = log.path / table.name
    if not DeltaTable.is_deltatable(str(path)):
        return None
    with rewriting(table):
        return DeltaTable(path)


@contextmanager
def rewriting(table: Table) -> Iterator[None]:
    """Translate what goes wrong; the message leaves out the library's own, which may quote what was to be deleted.

    Raises:
        LogUnavailableError: The table could not be rewritten.
    """
    try:
        yield
    except (DeltaError, OSError) as error:
        raise LogUnavailableError(
            f"log table {table.name} could not be rewritten ({type(error).__name__}); try again"
        ) from error


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
