"""`nextbest experiment`: read, show and list experiments."""

import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from decisioning.catalogue.experiment import Inference
from decisioning.errors import InsufficientDataError, InvalidInputError
from pipelines.options import AsOfOption, HomeOption, JsonOption, not_later_than, print_json, settings_for
from training.experiments.tables.whole import Whole

if TYPE_CHECKING:
    from features.reports.readouts import Readout
    from features.settings import Settings

app = typer.Typer(
    name="experiment", help="Experiments: effects of messages, policies and holdouts.", no_args_is_help=True
)


@app.command("read")
def read(
    name: Annotated[
        str | None,
        typer.Argument(help="An experiment of the catalogue, or holdout; with --table the name to store it under."),
    ] = None,
    *,
    table: Annotated[Path | None, typer.Option(metavar="FILE", help="Read this Parquet or CSV file.")] = None,
    arm_column: Annotated[str | None, typer.Option(help="Column of the table that names the arm.")] = None,
    control: Annotated[str | None, typer.Option(help="Arm that the others are compared with.")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="Column to compare; the first one decides.")] = None,
    share: Annotated[
        list[str] | None, typer.Option(metavar="ARM=SHARE", help="Intended size of an arm; default equal.")
    ] = None,
    unit_column: Annotated[
        str | None, typer.Option(help="Column of the table with the customer or other unit of a row.")
    ] = None,
    aggregate: Annotated[
        Whole | None, typer.Option(help="How rows of a unit become one; default any for flags, sum for numbers.")
    ] = None,
    each_row_a_unit: Annotated[
        bool, typer.Option("--each-row-a-unit", help="Rows were randomised one by one, even if ids repeat.")
    ] = False,
    covariate: Annotated[
        list[str] | None, typer.Option(help="Column known before the experiment, to adjust differences for.")
    ] = None,
    fixed: Annotated[
        bool, typer.Option("--fixed/--sequential", help="The one look that was planned, or one of many (default).")
    ] = False,
    as_of: AsOfOption = None,
    capped: Annotated[bool, typer.Option("--capped", help="Cap each transaction as its measure says.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute the readout of an experiment, store it for the console, and print it.

    If the data do not allow a readout, the reason is stored and printed, and the exit code is 3.

    Examples:
    `nextbest experiment read engine-vs-random`;
    `nextbest experiment read --table test.parquet --arm-column segment --control none --metric spend`
    """
    settings = settings_for(home)
    given = {"--arm-column": arm_column, "--control": control, "--metric": metric, "--share": share}
    given |= {"--unit-column": unit_column, "--aggregate": aggregate, "--each-row-a-unit": each_row_a_unit}
    given |= {"--covariate": covariate, "--fixed": fixed}
    if table is None:
        readout = _from_log(settings, name, given, as_of, is_capped=capped)
    else:
        readout = _from_table(settings, table, name, given)
    _print(readout, as_json=as_json)
    if readout.refusal is not None:
        raise InsufficientDataError(readout.refusal.message)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Name of a stored readout.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a stored readout again, as it was computed.

    Example: `nextbest experiment show engine-vs-random --json`
    """
    from features.reports.readouts import read_readout

    _print(read_readout(settings_for(home).readouts_path, name), as_json=as_json)


@app.command("list")
def list_experiments(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the experiments of the catalogue in force and all stored readouts.

    Example: `nextbest experiment list`
    """
    from pipelines.analyses.experiment_list import experiment_rows
    from pipelines.reports.readout_report import print_readouts

    rows = experiment_rows(settings_for(home))
    if as_json:
        print_json(rows)
    elif not rows:
        typer.echo("no experiment is declared or stored; declare one under `experiments` in the catalogue")
    else:
        print_readouts(rows)


def _print(readout: "Readout", *, as_json: bool) -> None:
    from features.reports.readouts import readout_to_json
    from pipelines.reports.readout_report import print_readout

    if as_json:
        typer.echo(readout_to_json(readout).decode())
    else:
        print_readout(readout)


def _from_log(
    settings: "Settings", name: str | None, table_options: dict[str, Any], as_of: datetime | None, *, is_capped: bool
) -> "Readout":
    from pipelines.analyses.experiment_analysis import read_logged_experiment
    from training.experiments.readouts import ReadoutInputs

    if name is None:
        raise InvalidInputError("name must be given, got nothing; name an experiment, or a file with --table")
    misplaced = [option for option, value in table_options.items() if value]
    if misplaced:
        raise InvalidInputError(f"{misplaced[0]} must come with --table, got no table; the catalogue declares the rest")
    now = datetime.now(UTC)
    moment = not_later_than(now, as_of) if as_of else now
    command = ["nextbest", "experiment", "read", name]
    command += ["--as-of", f"{moment:%Y-%m-%dT%H:%M:%S}"] if as_of else []
    command += ["--capped"] if is_capped else []
    told, source = shlex.join(command), "the decision log"
    reading = ReadoutInputs(as_of=moment, computed_at=now, command=told, source=source, is_capped=is_capped)
    return read_logged_experiment(settings, name, reading)


def _from_table(settings: "Settings", table: Path, name: str | None, given: dict[str, Any]) -> "Readout":
    from pipelines.analyses.experiment_analysis import read_table_experiment
    from training.experiments.readouts import ReadoutInputs
    from training.experiments.tables.table_readouts import TableDesign

    if given["--arm-column"] is None or given["--control"] is None or not given["--metric"]:
        raise InvalidInputError("--arm-column, --control and --metric must be given with --table, got fewer")
    if given["--unit-column"] is not None and given["--each-row-a-unit"]:
        raise InvalidInputError("--each-row-a-unit must come without --unit-column, got both; name one")
    if given["--unit-column"] is None and given["--aggregate"] is not None:
        raise InvalidInputError(
            "--aggregate must come with --unit-column, got no column; name the column with the unit of the rows"
        )
    now = datetime.now(UTC)
    named = [name] if name else []
    command = ["nextbest", "experiment", "read", *named, "--table", str(table), *_again(given)]
    reading = ReadoutInputs(as_of=now, computed_at=now, command=shlex.join(command), source=table.name)
    design = TableDesign(
        readout_id=name or table.stem,
        arm_column=given["--arm-column"],
        control=given["--control"],
        metrics=tuple(given["--metric"]),
        shares=dict(map(_share, given["--share"] or [])),
        unit_column=given["--unit-column"],
        whole=given["--aggregate"],
        is_row_a_unit=given["--each-row-a-unit"],
        covariates=tuple(given["--covariate"] or ()),
        inference=Inference.FIXED if given["--fixed"] else Inference.SEQUENTIAL,
    )
    return read_table_experiment(settings, table, design, reading)


def _again(given: dict[str, Any]) -> Iterator[str]:
    """What to type to ask the same again: flags alone, other options with each of their values."""
    for option, value in given.items():
        if value is True:
            yield option
        elif value:
            yield from (part for one in (value if isinstance(value, list) else [value]) for part in (option, str(one)))


def _share(text: str) -> tuple[str, float]:
    arm, _, value = text.rpartition("=")
    try:
        return arm, float(value)
    except ValueError as error:
        raise InvalidInputError(f"--share must be ARM=NUMBER, got {text!r}") from error
