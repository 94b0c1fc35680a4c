"""`nextbest experiment`: read, show and list experiments."""

import shlex
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from decisioning.errors import InsufficientDataError, InvalidInputError
from pipelines.options import AsOfOption, HomeOption, JsonOption, settings_for
from training.experiments.whole import Whole

if TYPE_CHECKING:
    from features.reports.readouts import Readout
    from features.settings import Settings

experiment = typer.Typer(help="Experiments: effects of messages, policies and holdouts.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add `nextbest experiment`."""
    app.add_typer(experiment, name="experiment")


@experiment.command("read")
def read(
    name: Annotated[
        str | None,
        typer.Argument(help="An experiment of the catalogue, or holdout; with --table the name to store it under."),
    ] = None,
    *,
    table: Annotated[
        Path | None, typer.Option("--table", metavar="FILE", help="Read this Parquet or CSV file.")
    ] = None,
    arm_column: Annotated[
        str | None, typer.Option("--arm-column", help="Column of the table that names the arm.")
    ] = None,
    control: Annotated[str | None, typer.Option("--control", help="Arm that the others are compared with.")] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="Column to compare; the first one decides.")
    ] = None,
    share: Annotated[
        list[str] | None, typer.Option("--share", metavar="ARM=SHARE", help="Intended size of an arm; default equal.")
    ] = None,
    unit_column: Annotated[
        str | None, typer.Option("--unit-column", help="Column of the table with the customer or other unit of a row.")
    ] = None,
    aggregate: Annotated[
        Whole | None,
        typer.Option("--aggregate", help="How rows of a unit become one; default any for flags, sum for numbers."),
    ] = None,
    each_row_a_unit: Annotated[
        bool, typer.Option("--each-row-a-unit", help="Rows were randomised one by one, even if ids repeat.")
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
    if table is None:
        given = {"--arm-column": arm_column, "--control": control, "--metric": metric, "--share": share}
        given |= {"--unit-column": unit_column, "--aggregate": aggregate, "--each-row-a-unit": each_row_a_unit}
        readout = _from_log(settings, name, given, as_of, is_capped=capped)
    else:
        units = _Units(column=unit_column, whole=aggregate, is_row_a_unit=each_row_a_unit)
        readout = _from_table(settings, table, name, arm_column, control, metric or [], share or [], units)
    _print(readout, as_json=as_json)
    if readout.refusal is not None:
        raise InsufficientDataError(readout.refusal.message)


@experiment.command("show")
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


@experiment.command("list")
def list_experiments(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the experiments of the catalogue in force and all stored readouts.

    Example: `nextbest experiment list`
    """
    import orjson

    from pipelines.analyses.experiment_list import experiment_rows
    from pipelines.reports.readout_report import print_readouts

    rows = experiment_rows(settings_for(home))
    if as_json:
        sys.stdout.write(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    if not rows:
        typer.echo("no experiment is declared or stored; declare one under `experiments` in the catalogue")
        return
    print_readouts(
        (row["name"] or "", row["status"] or "", (row["computed_at"] or "")[:16], row["verdict"] or "") for row in rows
    )


def _print(readout: "Readout", *, as_json: bool) -> None:
    from features.reports.readouts import readout_to_json
    from pipelines.reports.readout_report import print_readout

    if as_json:
        sys.stdout.write(readout_to_json(readout).decode() + "\n")
        return
    print_readout(readout)


def _from_log(
    settings: "Settings", name: str | None, table_options: dict[str, object], as_of: datetime | None, *, is_capped: bool
) -> "Readout":
    from pipelines.analyses.experiment_analysis import read_logged_experiment
    from training.experiments.readouts import ReadoutInputs

    if name is None:
        raise InvalidInputError("name must be given, got nothing; name an experiment, or a file with --table")
    misplaced = [option for option, value in table_options.items() if value]
    if misplaced:
        raise InvalidInputError(f"{misplaced[0]} must come with --table, got no table; the catalogue declares the rest")
    now = datetime.now(UTC)
    moment = as_of.replace(tzinfo=as_of.tzinfo or UTC).astimezone(UTC) if as_of else now
    if moment > now:
        raise InvalidInputError(
            f"--as-of must not be later than now ({now:%Y-%m-%dT%H:%M:%S}), got {moment:%Y-%m-%dT%H:%M:%S}"
        )
    command = ["nextbest", "experiment", "read", name]
    command += ["--as-of", f"{moment:%Y-%m-%dT%H:%M:%S}"] if as_of else []
    command += ["--capped"] if is_capped else []
    reading = ReadoutInputs(
        as_of=moment,
        computed_at=now,
        command=shlex.join(command),
        source="the decision log",
        is_capped=is_capped,
    )
    return read_logged_experiment(settings, name, reading)


def _from_table(
    settings: "Settings",
    table: Path,
    name: str | None,
    arm_column: str | None,
    control: str | None,
    metrics: list[str],
    shares: list[str],
    units: "_Units",
) -> "Readout":
    from pipelines.analyses.experiment_analysis import read_table_experiment
    from training.experiments.readouts import ReadoutInputs
    from training.experiments.table_readouts import TableDesign

    if arm_column is None or control is None or not metrics:
        raise InvalidInputError("--arm-column, --control and --metric must be given with --table, got fewer")
    now = datetime.now(UTC)
    options = [*_pairs("--metric", metrics), *_pairs("--share", shares), *units.options()]
    named = [name] if name else []
    command = ["nextbest", "experiment", "read", *named, "--table", str(table)]
    command += ["--arm-column", arm_column, "--control", control, *options]
    reading = ReadoutInputs(as_of=now, computed_at=now, command=shlex.join(command), source=table.name)
    design = TableDesign(
        readout_id=name or table.stem,
        arm_column=arm_column,
        control=control,
        metrics=tuple(metrics),
        shares=dict(map(_share, shares)),
        unit_column=units.column,
        whole=units.whole,
        is_row_a_unit=units.is_row_a_unit,
    )
    return read_table_experiment(settings, table, design, reading)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Units:
    """Whose rows a table holds, as it was asked."""

    column: str | None
    whole: Whole | None
    is_row_a_unit: bool

    def options(self) -> list[str]:
        """What to type to ask the same again.

        Raises:
            InvalidInputError: The options contradict each other.
        """
        if self.column is not None and self.is_row_a_unit:
            raise InvalidInputError("--each-row-a-unit must come without --unit-column, got both; name one")
        if self.column is None and self.whole is not None:
            raise InvalidInputError(
                "--aggregate must come with --unit-column, got no column; name the column with the unit of the rows"
            )
        named = [] if self.column is None else ["--unit-column", self.column]
        how = [] if self.whole is None else ["--aggregate", self.whole.value]
        return [*named, *how, *(["--each-row-a-unit"] if self.is_row_a_unit else [])]


def _pairs(option: str, values: list[str]) -> list[str]:
    return [part for value in values for part in (option, value)]


def _share(text: str) -> tuple[str, float]:
    arm, _, value = text.rpartition("=")
    try:
        return arm, float(value)
    except ValueError as error:
        raise InvalidInputError(f"--share must be ARM=NUMBER, got {text!r}") from error
