"""`nextbest log`: drain the decision streams, look at the tables, compact them, verify them."""

import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipelines.options import HomeOption, JsonOption, known_as, print_json, print_result, say, settings_for

app = typer.Typer(name="log", help="The log of customers, events, decisions and outcomes.", no_args_is_help=True)

WAIT_SECONDS = 20.0


@app.command("drain")
def drain(
    follow: Annotated[bool, typer.Option("--follow/--once", help="Run until Ctrl-C, or stop when done.")] = False,
    interval: Annotated[float, typer.Option(min=0.01, help="Seconds between passes.")] = 1.0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move rows waiting in Redis and in the spool into the log, each exactly once.

    Example: `nextbest log drain --once`
    """
    from features.chain.audit_chain import open_log
    from pipelines.server.drain import counting, learning
    from pipelines.server.embedded_redis import redis_for
    from serving.log.drain import drain_alone, open_redis, run_drain

    settings = settings_for(home)
    with redis_for(settings) as url:
        if follow:
            say("draining; Ctrl-C stops")
            with counting(settings, url), learning(settings, url):
                run_drain(settings, url, _stop_on_signals(), interval_seconds=interval)
            return
        with open_redis(url) as client:
            report = drain_alone(client, open_log(settings), settings.spool_path, wait_seconds=WAIT_SECONDS)
    print_result(asdict(report), as_json=as_json, title="drained into the log")


@app.command("show")
def show(
    table: Annotated[str, typer.Option(help="customers, events, decisions or outcomes.")] = "decisions",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many rows, newest first.")] = 5,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the newest rows of a table.

    Example: `nextbest log show --table decisions --limit 5`
    """
    import polars as pl

    from features.log.contracts import TABLES
    from features.log.event_log import EventLog

    wanted = known_as("table", table, TABLES)
    rows = EventLog(settings_for(home).log_path).newest(wanted, limit)
    if as_json:
        print_json({"table": table, "rows": rows.to_dicts()})
        return
    with pl.Config(tbl_cols=-1, tbl_rows=-1, tbl_hide_dataframe_shape=True, tbl_width_chars=160, fmt_str_lengths=40):
        sys.stdout.write(f"{rows}\n")


@app.command("compact")
def compact(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Merge small files, and delete those that were replaced more than a day ago.

    Example: `nextbest log compact`
    """
    from features.chain.audit_chain import AUDIT_CHAIN
    from features.log.contracts import TABLES
    from features.log.event_log import EventLog

    log = EventLog(settings_for(home).log_path)
    done = {table.name: asdict(log.compact(table)) for table in (*TABLES.values(), AUDIT_CHAIN)}
    lines = {
        name: f"{files['files_before']} files -> {files['files_after']}, {files['files_deleted']} deleted"
        for name, files in done.items()
    }
    print_result(done if as_json else lines, as_json=as_json, title="compacted")


@app.command("verify")
def verify(
    *,
    note: Annotated[
        Path | None, typer.Option(metavar="HEADS.json", help="Write the chain's heads here, to keep elsewhere.")
    ] = None,
    head: Annotated[
        Path | None, typer.Option(metavar="HEADS.json", help="Compare with heads that were noted earlier.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify the audit chain: no logged decision was altered, added, lost or moved.

    If something is wrong, it is located and the exit code is 1. Decisions of erased customers are not reported, since
    the chain records their erasure. If the newest decisions were removed together with the end of their chain, only
    heads noted earlier can show it: keep those on another machine.

    Examples:
    `nextbest log verify`;
    `nextbest log verify --note heads.json`;
    `nextbest log verify --head heads.json`
    """
    from features.chain.audit_chain import open_log
    from features.chain.chain_verification import verify_log
    from pipelines.audit.log_verification import found_of, note_heads, noted_heads, print_verification

    noted = None if head is None else noted_heads(head)
    found = verify_log(open_log(settings_for(home)), noted=noted)
    if note is not None:
        note_heads(note, found)
    if as_json:
        print_json(found_of(found))
    else:
        print_verification(found)
    if found.faults:
        raise typer.Exit(1)


def _stop_on_signals() -> threading.Event:
    """An event that Ctrl-C or a SIGTERM sets."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop
