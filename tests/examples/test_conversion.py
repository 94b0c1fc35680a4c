"""A conversion is complete or absent, and one sentence says what is wrong with a source."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import orjson
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from decisioning.errors import InvalidInputError, UnknownNameError
from examples.conversion import MARKER, ExampleTables, canonical, write_world
from examples.email_test import adapter as email_test
from examples.registry import EXAMPLES, convert_example
from examples.rewards import adapter as rewards
from features.catalogue import load_catalogue
from features.importing.folder import import_folder
from features.log.contracts import TABLES, Table
from features.log.event_log import EventLog
from features.settings import Settings
from pipelines.commands import catalogue, example

HEADER = b"recency,history,mens,womens,zip_code,newbie,channel,segment,visit,conversion,spend\n"
ROOT = Path(__file__).parents[2]


def test_a_conversion_can_be_imported_and_read_back(email_source: Path, tmp_path: Path) -> None:
    email_test.convert(email_source, tmp_path / "out")
    settings = Settings(home=tmp_path / "home")
    report = import_folder(tmp_path / "out", settings, now=datetime(2026, 1, 1, tzinfo=UTC))
    assert report.rejected == 0
    for name, table in TABLES.items():
        written = pl.read_parquet(tmp_path / "out" / f"{name}.parquet")
        read = EventLog(settings.log_path).read(table)
        assert _rows(read, table) == _rows(written, table)
    assert load_catalogue(settings.catalogue_path).version == report.catalogue_version


def _rows(frame: pl.DataFrame, table: Table) -> list[dict[str, object]]:
    """Rows in order, with JSON text parsed, because the log may format it differently."""
    columns = [column.name for column in table.columns if column.is_json]
    rows = frame.sort(table.key).to_dicts()
    return [{**row, **{name: row[name] and orjson.loads(row[name]) for name in columns}} for row in rows]


@pytest.mark.parametrize("name", sorted(name for name, each in EXAMPLES.items() if each.command is None))
def test_every_example_writes_exactly_the_canonical_tables(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    fixture = {"grocery": "grocery_source", "rewards": "rewards_source", "email_test": "email_source"}[name]
    options = {"ends_on": datetime(2018, 1, 1, tzinfo=UTC).date()} if name == "grocery" else {}
    report = convert_example(name, request.getfixturevalue(fixture), tmp_path / "out", options)
    for table in TABLES.values():
        frame = pl.read_parquet(tmp_path / "out" / f"{table.name}.parquet")
        assert dict(frame.schema) == table.schema
        assert frame.height == report.rows[table.name]
        assert not frame.select(table.key).is_duplicated().any()
    copied = load_catalogue(tmp_path / "out" / "catalogue")
    assert copied.version == load_catalogue(ROOT / "examples" / name / "catalogue").version
    assert (tmp_path / "out" / "catalogue" / "catalogue.schema.json").is_file()


def test_a_simulated_example_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="nextbest world write OUT"):
        convert_example("airline", None, tmp_path / "out", {})


def test_an_earlier_conversion_is_replaced_and_anything_else_is_not(email_source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    email_test.convert(email_source, out)
    (out / "left-over.txt").write_text("from before", encoding="utf-8")
    email_test.convert(email_source, out)
    assert not (out / "left-over.txt").exists()
    (out / MARKER).unlink()
    with pytest.raises(InvalidInputError, match="OUT must be new, empty or an earlier conversion"):
        email_test.convert(email_source, out)
    with pytest.raises(InvalidInputError, match="OUT must be a folder, got the file"):
        email_test.convert(email_source, email_source / "hillstrom.csv")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_output_folder_is_reported(email_source: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InvalidInputError, match="OUT must be a folder that can be written"):
            email_test.convert(email_source, tmp_path / "out")
    finally:
        tmp_path.chmod(0o700)


def test_an_output_folder_below_a_file_is_reported(email_source: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="OUT must be a folder that can be written"):
        email_test.convert(email_source, email_source / "hillstrom.csv" / "out")


def test_a_failure_leaves_nothing_behind(rewards_source: Path, tmp_path: Path) -> None:
    world = ExampleTables(
        customers=pl.DataFrame({"stranger": [1]}),
        events=pl.DataFrame(),
        decisions=pl.DataFrame(),
        outcomes=pl.DataFrame(),
    )
    with pytest.raises(InvalidInputError, match="columns of customers must be canonical, got stranger"):
        write_world("rewards", world, rewards.CATALOGUE, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rewards-source"]


def test_a_conversion_killed_at_any_moment_never_looks_complete(email_source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = (
        "import sys; from pathlib import Path; from examples.email_test.adapter import convert\n"
        "print('ready', flush=True)\nwhile True: convert(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(email_source), str(out)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
    if out.exists():
        assert (out / MARKER).is_file()
        assert {f"{name}.parquet" for name in TABLES} <= {path.name for path in out.iterdir()}
    email_test.convert(email_source, out)
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize("missing", [("profile",), ("portfolio", "transcript")])
def test_all_missing_files_are_named_with_their_source(
    rewards_source: Path, tmp_path: Path, missing: tuple[str, ...]
) -> None:
    for stem in missing:
        (rewards_source / f"{stem}.parquet").unlink()
    with pytest.raises(InvalidInputError, match=rf"without {', '.join(missing)}; the files .* Udacity"):
        rewards.convert(rewards_source, tmp_path / "out")


def test_a_missing_folder_is_named_with_its_source(tmp_path: Path) -> None:
    for source in (None, tmp_path / "nowhere"):
        with pytest.raises(InvalidInputError, match=r"SOURCE must be an existing folder, got .*; the file comes from"):
            email_test.convert(source, tmp_path / "out")


def test_missing_columns_are_named(email_source: Path, tmp_path: Path) -> None:
    path = email_source / "hillstrom.csv"
    path.write_text(
        path.read_text(encoding="utf-8").replace("visit,conversion", "visits,conversions"), encoding="utf-8"
    )
    with pytest.raises(InvalidInputError, match=r"must have the columns .*, got it without visit, conversion"):
        email_test.convert(email_source, tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "must be a readable csv file"),
        (b"\xff\xfe\x00\x01,\n\xff,1\n", "must"),
        (HEADER, "must hold rows"),
        (HEADER + b"x,1,1,1,a,1,b,c,1,1,1\n", "column recency of .* must be readable as Int64"),
    ],
)
def test_files_with_other_content_are_refused(
    email_source: Path, tmp_path: Path, content: bytes, expected: str
) -> None:
    (email_source / "hillstrom.csv").write_bytes(content)
    with pytest.raises(InvalidInputError, match=expected):
        email_test.convert(email_source, tmp_path / "out")


def test_a_truncated_parquet_file_is_refused(rewards_source: Path, tmp_path: Path) -> None:
    path = rewards_source / "transcript.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InvalidInputError, match="must be a readable parquet file"):
        rewards.convert(rewards_source, tmp_path / "out")


def test_unknown_examples_and_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'grocery'"):
        convert_example("grocer", None, tmp_path, {})
    with pytest.raises(InvalidInputError, match="options of email_test must be among --starts-on, got --part"):
        convert_example("email_test", None, tmp_path, {"part": "train", "ends_on": None})


def test_a_table_is_written_in_time_order() -> None:
    rows = pl.DataFrame(
        {"event_id": ["b", "a"], "customer_id": ["x", "x"], "type": ["browse"] * 2, "occurred_at": [2, 1]}
    )
    assert canonical("events", rows)["event_id"].to_list() == ["a", "b"]


@pytest.fixture
def run() -> Callable[..., str]:
    """Run a command in this process, check that it succeeds, and return its output."""
    app = typer.Typer()
    for noun in (example, catalogue):
        app.add_typer(noun.app)

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == 0, result.output
        return result.stdout

    return call


def test_the_command_converts_and_lists(run: Callable[..., str], email_source: Path, tmp_path: Path) -> None:
    assert '"customers": 4' in run(
        "example", "convert", "email_test", str(email_source), str(tmp_path / "out"), "--json"
    )
    assert set(EXAMPLES) <= set(run("example", "list", "--json").split('"'))


def test_by_default_the_command_moves_grocery_data_to_end_today(
    run: Callable[..., str], grocery_source: Path, tmp_path: Path
) -> None:
    run("example", "convert", "grocery", str(grocery_source), str(tmp_path / "out"))
    last = pl.read_parquet(tmp_path / "out" / "events.parquet")["occurred_at"].max()
    assert isinstance(last, datetime)
    assert 0 <= (datetime.now(UTC) - last).days <= 8
    run("example", "convert", "grocery", str(grocery_source), str(tmp_path / "out"), "--ends-on", "2018-01-01")
    assert pl.read_parquet(tmp_path / "out" / "events.parquet")["occurred_at"].max() == datetime(
        2017, 12, 30, 9, tzinfo=UTC
    )


def test_the_catalogue_commands_check_show_and_write_the_schema(run: Callable[..., str], tmp_path: Path) -> None:
    folder = str(ROOT / "examples" / "grocery" / "catalogue")
    assert '"offers": 10' in run("catalogue", "check", folder, "--json")
    assert "coupons-for-you" in run("catalogue", "show", folder, "--json")
    assert "messages" in run("catalogue", "show", folder, "--json")
    run("catalogue", "schema", "--out", str(tmp_path / "schema.json"))
    assert (tmp_path / "schema.json").read_text(encoding="utf-8") == run("catalogue", "schema")
