"""`nextbest import`: canonical tables into the log."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.exit_codes import EXIT_REJECTED
from pipelines.options import HomeOption, JsonOption, print_result, progress_of, say, settings_for

if TYPE_CHECKING:
    from features.importing.folder import ImportReport
    from features.settings import Settings

MOST_SHOWN = 20


app = typer.Typer()


@app.command("import")
def import_(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder with customers, events, decisions, outcomes (.parquet, .csv).")
    ],
    max_unknown: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Largest share of unknown names in a column: customers, decisions, touchpoints, offers.",
        ),
    ] = 0.05,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check canonical tables and import them into the log; bad rows go to a reject file.

    Repeating an import changes nothing. A sub-folder `catalogue` becomes the catalogue in force; it may be the only
    thing in DIR. Unknown ids are counted; if more than 5 % of a column is unknown, nothing is imported unless you allow
    more. The exit code is 65 if rows were rejected. For a new catalogue the command says what to build or train, and
    what happens until then.

    Example: `nextbest import data/canonical`
    """
    from features.clock import clock_of
    from features.importing.folder import import_folder

    settings = settings_for(home)
    now = clock_of(settings)()
    with progress_of(f"import {folder}") as tell:
        report = import_folder(folder, settings, tell, now=now, most_unmatched=max_unknown)
    waits = _waits_of(report, settings)
    _explain(report, waits)
    print_result(_result(report, waits, as_json=as_json), as_json=as_json, title=f"imported {folder}")
    if report.rejected:
        raise typer.Exit(EXIT_REJECTED)


def _waits_of(report: "ImportReport", settings: "Settings") -> list[str]:
    """What must be built or trained for the imported catalogue, and customers without features."""
    from features.models.schema_archive import is_unbuilt

    if report.catalogue_version is None and not (is_unbuilt(settings) and settings.catalogue_path.exists()):
        return []
    from features.catalogue import load_catalogue
    from pipelines.catalogue_effects import waits_of

    return waits_of(load_catalogue(settings.catalogue_path), settings)


def _explain(report: "ImportReport", waits: list[str]) -> None:
    told = (("waits", waits), ("warning", report.warnings), ("unknown", report.unmatched), ("clears", report.cleared))
    for word, found in told:
        for one in found:
            say(f"{word}: {one}")
    _explain_undeclared(report)
    for change in report.changes:
        say(f"running test: {change}")
    for broken in report.broken_rules[:MOST_SHOWN]:
        say(f"refused: {broken}")
    if len(report.broken_rules) > MOST_SHOWN:
        say(f"refused: {len(report.broken_rules) - MOST_SHOWN} further rules, see reasons.csv")


def _explain_undeclared(report: "ImportReport") -> None:
    if report.undeclared:
        names = ", ".join(map(str, report.undeclared[:MOST_SHOWN]))
        more = len(report.undeclared) - MOST_SHOWN
        say(f"undeclared attributes: {names}{f' and {more} more' if more > 0 else ''}; kept, used by no rule")
    if report.widened:
        say(f"withdrawals of an unknown channel or purpose: {report.widened:,}; applied to every channel or purpose")


def _result(report: "ImportReport", waits: list[str], *, as_json: bool) -> dict[str, object]:
    """Counts per table; as JSON with every broken rule."""
    rejects = {"rejects": str(report.rejects_path)} if report.rejects_path else {}
    catalogue = {"catalogue": report.catalogue_version} if report.catalogue_version else {}
    if as_json:
        told = asdict(report)
        names = ("tables", "broken_rules", "warnings", "unmatched", "cleared", "undeclared", "widened")
        changes = {"test_changes": report.changes, "waits_for": waits}
        return {**{name: told[name] for name in names}, **changes, **rejects, **catalogue}
    counts = {
        table.table: f"{table.read:,} read = {table.inserted:,} inserted + {table.duplicates:,} duplicates + "
        f"{table.rejected:,} rejected" + (f" + {table.erased:,} of erased customers" if table.erased else "")
        for table in report.tables
    }
    return {**counts, **rejects, **catalogue}
