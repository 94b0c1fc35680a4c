"""`nextbest catalogue`: check, show, and the schema that editors complete with."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.options import HomeOption, JsonOption, print_json, print_result, print_rows, say, settings_for

if TYPE_CHECKING:
    from decisioning.catalogue.catalogue import Catalogue
    from features.catalogue import Examination
    from features.settings import Settings

app = typer.Typer(name="catalogue", help="The YAML files that marketers edit.", no_args_is_help=True)


@app.command("check")
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of *.yaml files.")],
    as_json: JsonOption = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 on warnings, too.")] = False,
    home: HomeOption = None,
) -> None:
    """Check a folder of catalogue files for mistakes and for rules that can never work.

    Errors name file, line, field and rule; the catalogue is refused with exit code 1. Warnings do not refuse it: offers
    that nobody can get, rules without effect, messages that always win over others, wording that does not fit its
    channel or reads like marketing in another class, levers and limits that have expired. With --strict, warnings also
    exit with 1.

    If another catalogue is in force, the check says what this one would change in running experiments and holdouts.
    If the home has features or a model, it says what they lack for this catalogue, what to run, and what happens until
    then. If no model was ever promoted, it says how decisions are made without one.

    Example: `nextbest catalogue check examples/grocery/catalogue`
    """
    from features.catalogue import Severity, examine_catalogue

    now = datetime.now(UTC)
    examination = examine_catalogue(folder, now)
    told = _told_of(examination.catalogue, folder, settings_for(home), now)
    _print_examination(examination, folder, told, as_json=as_json)
    if examination.of(Severity.ERROR) or (strict and examination.findings):
        raise typer.Exit(1)


def _told_of(catalogue: "Catalogue | None", folder: Path, settings: "Settings", now: datetime) -> dict[str, list[str]]:
    """What the catalogue changes in tests, what it would wait for, and how it decides in a home without a model."""
    if catalogue is None:
        return {"test_changes": [], "waits_for": []}
    from features.catalogue.assignment.changes import changes_for_tests
    from pipelines.catalogue_effects import mode_of, waits_of

    changes, mode = changes_for_tests(folder, settings.catalogue_path, now), mode_of(catalogue, settings)
    waits = waits_of(catalogue, settings) if settings.home.is_dir() else []
    return {"test_changes": list(changes), "waits_for": waits} | ({} if mode is None else {"mode": [mode]})


_TOLD_AS = {"test_changes": "running test", "waits_for": "waits", "mode": "mode"}


def _print_examination(examination: "Examination", folder: Path, told: dict[str, list[str]], *, as_json: bool) -> None:
    from features.catalogue.summary import finding_lines, summary_of, verdict_of

    catalogue, findings = examination.catalogue, examination.findings
    summary = {} if catalogue is None else summary_of(catalogue)
    if as_json:
        rows = [finding.as_row() for finding in findings]
        print_json({**summary, "is_sound": catalogue is not None, "findings": rows, **told})
        return
    lines = [f"{_TOLD_AS[name]}: {words}" for name, found in told.items() for words in found]
    sys.stdout.write("\n".join([verdict_of(str(folder), findings), *finding_lines(findings), *lines]) + "\n")
    if catalogue is not None:
        print_result(summary, as_json=False)


@app.command("show")
def show(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Folder; default the catalogue in force.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a catalogue can send: offers, channels, stages.

    Example: `nextbest catalogue show`
    """
    from features.catalogue import load_catalogue
    from features.catalogue.summary import offer_rows, summary_of

    catalogue = load_catalogue(folder or settings_for(home).catalogue_path)
    if as_json:
        print_json({**summary_of(catalogue), "messages": offer_rows(catalogue)})
        return
    print_result(summary_of(catalogue), as_json=False)
    print_rows(offer_rows(catalogue))


@app.command("schema")
def schema(out: Annotated[Path | None, typer.Option(help="Write it here instead of to stdout.")] = None) -> None:
    """Print the JSON Schema of catalogue files, for completion in editors.

    Example: `nextbest catalogue schema --out docs/schemas/catalogue.schema.json`
    """
    from features.catalogue.reading.json_schema import schema_text

    if out is None:
        sys.stdout.write(schema_text())
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(schema_text(), encoding="utf-8")
    say(f"wrote {out}")
