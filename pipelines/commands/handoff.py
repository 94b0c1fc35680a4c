"""`nextbest handoff`: files for offline channels, and the results they return."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.exit_codes import EXIT_REJECTED
from pipelines.options import HomeOption, JsonOption, moment_or_now, print_result, say, settings_for

if TYPE_CHECKING:
    from datetime import tzinfo

    from pipelines.handoff.desk import HandOffReport

app = typer.Typer(
    name="handoff",
    help="Offline channels (letters, calls, desks): write files for them, read results back.",
    no_args_is_help=True,
)

MOST_SHOWN = 20
WAIT_SECONDS = 20.0


@app.command("write")
def write(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="An offline channel of the catalogue.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to write: .csv or .parquet.")],
    *,
    touchpoint: Annotated[str | None, typer.Option(help="Only decisions of this touchpoint.")] = None,
    as_of: Annotated[
        str | None, typer.Option(help="Hand over as of this moment (ISO 8601; UTC without offset).")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the messages that a mail house, a call centre or a desk should deliver, each decision once.

    Each decision needs a permit first. Messages that may not be sent now are listed with reasons in a file beside OUT.

    Example: `nextbest handoff write direct_mail letters.csv`
    """
    from features.chain.audit_chain import open_log
    from pipelines.handoff.desk import HandOffPlan, hand_over
    from pipelines.server.embedded_redis import redis_for
    from serving.log.drain import drain_alone, open_redis

    settings = settings_for(home)
    moment = moment_or_now(settings, as_of, "--as-of")
    plan = HandOffPlan(channel_id=channel, out=out, as_of=moment, touchpoint_id=touchpoint)
    with redis_for(settings) as url, open_redis(url) as client:
        log = open_log(settings)
        drain_alone(client, log, settings.spool_path, wait_seconds=WAIT_SECONDS)
        report = hand_over(plan, settings, redis_url=url)
        drain_alone(client, log, settings.spool_path, wait_seconds=WAIT_SECONDS)
    _tell(report)
    print_result(_result(report, as_json=as_json), as_json=as_json, title=f"handed over to {channel}")


def _tell(report: "HandOffReport") -> None:
    for path in report.finished:
        say(f"finished what an earlier run had begun: {path}; run again for what came since")
    for one in report.refused[:MOST_SHOWN]:
        later = f"; again from {one.retry_at}" if one.retry_at else ""
        say(f"not handed over: {one.decision_id}: {'; '.join(one.because)}{later}")
    if len(report.refused) > MOST_SHOWN:
        say(f"not handed over: {len(report.refused) - MOST_SHOWN} more, see {report.refused_out}")


def _result(report: "HandOffReport", *, as_json: bool) -> dict[str, object]:
    if as_json:
        return asdict(report)
    files = {name: path for name, path in (("file", report.out), ("refused in", report.refused_out)) if path}
    return {"messages": report.handed_over, "refused": len(report.refused), **files}


@app.command("read")
def read(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Returned file: .csv or .parquet.")],
    zone: Annotated[
        str | None, typer.Option(help="Time zone of times without an offset, such as Europe/Berlin.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read outcomes and customer responses from a returned file; rows that were read before count once.

    Columns: decision_id or customer_id, type, occurred_at, value, currency, note, and survey, score, case_id, kind,
    severity, language, channel, purpose, protection, name, stage, message_id. Bad rows go to a
    reject file, and the exit code is then 65. A withdrawn consent with an unknown channel or purpose counts for all of
    them.

    Example: `nextbest handoff read returned.csv --zone Europe/Berlin`
    """
    from features.chain.audit_chain import open_log
    from features.clock import clock_of
    from pipelines.handoff.returns import take_returns
    from pipelines.server.embedded_redis import redis_for
    from serving.log.drain import drain_alone, open_redis

    settings = settings_for(home)
    with redis_for(settings) as url, open_redis(url) as client:
        report = take_returns(file, settings, redis_url=url, now=clock_of(settings), zone=_zone(zone))
        drain_alone(client, open_log(settings), settings.spool_path, wait_seconds=WAIT_SECONDS)
    for one in report.refused[:MOST_SHOWN]:
        say(f"refused: row {one.row}: {one.because}")
    if report.widened:
        say(f"withdrawals of an unknown channel or purpose: {report.widened}; applied to every channel or purpose")
    told = asdict(report) if as_json else {**asdict(report), "refused": len(report.refused)}
    print_result({name: value for name, value in told.items() if value is not None}, as_json=as_json, title="accepted")
    if report.refused:
        raise typer.Exit(EXIT_REJECTED)


def _zone(name: str | None) -> "tzinfo | None":
    from decisioning.errors import InvalidInputError
    from decisioning.local_time import find_zone

    found = None if name is None else find_zone(name)
    if name is not None and found is None:
        raise InvalidInputError(f"--zone must be an IANA name such as Europe/Berlin, got {name!r}")
    return found
