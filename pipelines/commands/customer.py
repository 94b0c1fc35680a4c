"""`nextbest customer`: show, correct, erase and readmit a customer."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from features.ids import whole_id
from pipelines.options import (
    HomeOption,
    JsonOption,
    known_as,
    moment_or_now,
    print_json,
    print_result,
    say,
    settings_for,
)

if TYPE_CHECKING:
    from decisioning.rules.predicate import FactValue
    from serving.privacy.erasure import Erasure

app = typer.Typer(
    name="customer", help="Data subject rights: show, correct or erase a customer's data.", no_args_is_help=True
)

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The customer's id.", parser=whole_id)]

BY = "command line"
_EXIT_LEFT = 1
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]+)?")
"""What is a number; 01067 is not, it would lose its zero."""


@app.command("show")
def show(
    customer_id: IdArgument,
    out: Annotated[Path | None, typer.Option(metavar="FILE.json", help="Write it here, as JSON.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show everything stored about a customer: the data, where it is, its source, its purpose and its retention.

    Data about other people and the log's record keys are left out. The access is noted in the audit trail.

    Examples:
    `nextbest customer show C-00007`;
    `nextbest customer show C-00007 --out customer.json`
    """
    from decisioning.errors import InvalidInputError
    from features.catalogue import load_catalogue
    from features.clock import clock_of
    from pipelines.reports.customer_report import print_shown, write_shown
    from pipelines.server.embedded_redis import redis_for
    from serving.privacy.subject_access import show_customer

    settings = settings_for(home)
    now = clock_of(settings)()
    with redis_for(settings) as url:
        shown = show_customer(settings, url, load_catalogue(settings.catalogue_path), customer_id, now=now, by=BY)
    if not shown["is_known"]:
        raise InvalidInputError("customer must be one whose data is stored, got an unknown id")
    if out is not None:
        write_shown(out, shown)
        say(f"written to {out}")
    elif as_json:
        print_json(shown)
    else:
        print_shown(shown)


@app.command("correct")
def correct(
    customer_id: IdArgument,
    values: Annotated[
        list[str],
        typer.Argument(metavar="NAME=VALUE...", help="Attributes, time_zone, locale, country, ...; empty removes."),
    ],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Correct a customer's data in the log and in Redis; the audit trail notes the fields, not the values.

    Report consents and opt-outs as events instead.

    Example: `nextbest customer correct C-00007 region=north locale=de-DE`
    """
    from features.catalogue import load_catalogue
    from features.clock import clock_of
    from pipelines.server.embedded_redis import redis_for
    from serving.privacy.correction import correct_customer

    settings = settings_for(home)
    catalogue = load_catalogue(settings.catalogue_path)
    wanted = dict(_pair(one) for one in values)
    with redis_for(settings) as url:
        now = clock_of(settings)()
        corrected = correct_customer(settings, url, catalogue, customer_id, wanted, now=now, by=BY)
    print_result({"corrected": list(corrected)}, as_json=as_json, title="corrected")


@app.command("erase")
def erase(
    customer_id: Annotated[str | None, typer.Argument(metavar="ID", help="The customer's id.", parser=whole_id)] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    reason: Annotated[
        str,
        typer.Option(help="request, consent_withdrawn, objection, not_needed, unlawful or obligation; no free text."),
    ] = "request",
    resume: Annotated[bool, typer.Option("--resume", help="Finish interrupted erasures.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase a customer for good from Redis, log, features, files and older table versions; a server may keep running.

    A keyed hash stays, so that no import or event brings the customer back. Experiment readouts stay, since they hold
    only totals. At the end every file below the home is searched for traces; exit code 1 if one is found. The command
    can be repeated, and continues where an interrupted run stopped.

    Examples:
    `nextbest customer erase C-00009 --yes`;
    `nextbest customer erase --resume`
    """
    from decisioning.errors import InvalidInputError
    from features.clock import clock_of
    from pipelines.server.embedded_redis import redis_for
    from serving.privacy.erasure import ErasureGround, erase_customer, resume_erasures

    if (customer_id is None) != resume:
        raise InvalidInputError("erase must name one customer, or --resume, got both or neither")
    settings, ground = settings_for(home), known_as("reason", reason, {one.value: one for one in ErasureGround})
    if not resume and not yes:
        typer.confirm("Erase everything that is held of this customer? It cannot be undone", abort=True)
    with redis_for(settings) as url:
        now = clock_of(settings)()
        if customer_id is None:
            done = resume_erasures(settings, url, now=now, on_step=say)
        else:
            done = [erase_customer(settings, url, customer_id, now=now, ground=ground, by=BY, on_step=say)]
    _print(done, as_json=as_json)
    if any(one.left for one in done):
        raise typer.Exit(_EXIT_LEFT)


@app.command("readmit")
def readmit(
    customer_id: IdArgument,
    consents: Annotated[list[str], typer.Option("--consent", metavar="CHANNEL:PURPOSE", help="What they agreed to.")],
    given_at: Annotated[str | None, typer.Option(metavar="TIME", help="When, ISO 8601; default now.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Readmit an erased customer who signed up again, by a new consent given after the erasure.

    Data from before that consent stays blocked. Send the customer's new data afterwards.

    Example: `nextbest customer readmit C-00009 --consent email:marketing`
    """
    from features.catalogue import load_catalogue
    from features.clock import clock_of
    from pipelines.server.embedded_redis import redis_for
    from serving.privacy.readmission import readmit_customer

    settings = settings_for(home)
    moment = moment_or_now(settings, given_at, "--given-at")
    catalogue = load_catalogue(settings.catalogue_path)
    pairs = [_channel_and_purpose(one) for one in consents]
    with redis_for(settings) as url:
        now = clock_of(settings)()
        readmit_customer(settings, url, catalogue, customer_id, pairs, given_at=moment, now=now, by=BY)
    print_result({"readmitted_since": moment}, as_json=as_json, title="readmitted")


def _channel_and_purpose(text: str) -> tuple[str, str]:
    from decisioning.errors import InvalidInputError

    channel, colon, purpose = text.partition(":")
    if not (channel and colon and purpose):
        raise InvalidInputError(f"--consent must be written CHANNEL:PURPOSE, got {text!r}")
    return channel, purpose


def _print(done: "list[Erasure]", *, as_json: bool) -> None:
    if as_json:
        print_json({"erased": [asdict(one) for one in done]})
        return
    if not done:
        say("no erasure was left unfinished")
    for one in done:
        print_result(_lines(one), as_json=False, title="erased")


def _lines(done: "Erasure") -> dict[str, Any]:
    left = ", ".join(done.left) or ("nothing" if done.was_scanned else "not searched: the id is too short")
    return {
        **{f"log rows, {table}": count for table, count in done.log_rows.items()},
        "places in Redis": done.redis_keys,
        "rows of the feature history": done.history_rows,
        "rows of other files": sum(done.file_rows.values()),
        "Redis's file": done.append_only_file,
        "left in files": left,
    }


def _pair(text: str) -> "tuple[str, FactValue]":
    from decisioning.errors import InvalidInputError

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidInputError("corrections must be written NAME=VALUE, got something else")
    return name, _value(value)


def _value(text: str) -> "FactValue":
    """A flag, a number or text, as YAML would read it; empty for nothing."""
    if text in {"", "null"}:
        return None
    if text in {"true", "false"}:
        return text == "true"
    if not _NUMBER.fullmatch(text):
        return text
    return float(text) if "." in text else int(text)
