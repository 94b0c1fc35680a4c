"""Tables with several rows per customer are noticed and no customer is counted twice; tables as people have them."""

import shlex
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from decisioning.catalogue.experiment import Inference
from decisioning.errors import InsufficientDataError, InvalidInputError, UnknownNameError
from features.reports.readouts import Health, Readout, ReadoutUnit, RefusalCode, Status
from pipelines.commands import experiment as experiment_command
from training.experiments.readouts import ReadoutInputs
from training.experiments.tables.table_readouts import TableDesign, read_table
from training.experiments.tables.whole import Whole

NOW = datetime(2026, 3, 1, tzinfo=UTC)
READING = ReadoutInputs(as_of=NOW, computed_at=NOW, command="nextbest experiment read --table ...", source="a table")
CASES = Path(__file__).parents[1] / "tables"


def read(path: Path, **design: object) -> Readout:
    fields = {"readout_id": "test", "arm_column": "arm", "control": "a", "metrics": ("spend",), "shares": {}} | design
    return read_table(path, TableDesign(**fields), READING)  # pyright: ignore[reportArgumentType]


def visits(seed: int = 1, users: int = 200, *, lift: float = 0.0) -> pl.DataFrame:
    """Rows of visits: a user's visits are correlated, and all are in the user's arm."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        arm, taste = ("b" if rng.random() < 0.5 else "a"), rng.gamma(4, 5)
        for _ in range(int(rng.integers(1, 8))):
            spend = taste + rng.normal(0, 1) + (lift if arm == "b" else 0)
            rows.append({"who": f"U-{user}", "arm": arm, "spend": spend, "bought": bool(rng.random() < 0.2)})
    return pl.DataFrame(rows)


def saved(folder: Path, frame: pl.DataFrame, name: str = "table.csv") -> Path:
    frame.write_csv(folder / name) if name.endswith(".csv") else frame.write_parquet(folder / name)
    return folder / name


@pytest.mark.parametrize("column", ["userId", "customer_id", "kunde", "Household", "id", "client no", "e-mail-list"])
@pytest.mark.parametrize("file", ["table.csv", "table.parquet"])
def test_repeated_ids_are_questioned_whatever_the_column_is_called(tmp_path: Path, column: str, file: str):
    path = saved(tmp_path, visits().rename({"who": column}), file)
    with pytest.raises(InvalidInputError, match=f"rows of 200 different {column}; add --unit-column {column}"):
        read(path)
    assert read(path, unit_column=column).arms[0].assigned_count < 200


def test_ids_repeated_across_arms_are_questioned_if_the_column_is_named_like_an_id(tmp_path: Path):
    frame = visits().with_columns(arm=pl.Series(np.random.default_rng(1).choice(["a", "b"], visits().height)))
    with pytest.raises(InvalidInputError, match="different customer"):
        read(saved(tmp_path, frame.rename({"who": "customer"})))
    assert read(saved(tmp_path, frame.rename({"who": "shop"}))).status is not Status.REFUSED


def test_columns_that_naturally_repeat_are_not_mistaken_for_ids(tmp_path: Path):
    rng = np.random.default_rng(1)
    frame = pl.DataFrame(
        {
            "arm": ["a", "b"] * 300, "spend": rng.gamma(2, 10, 600), "customer": [f"C-{one}" for one in range(600)],
            "zip_code": rng.choice([f"1{one:04}" for one in range(150)], 600), "age": rng.integers(18, 80, 600),
            "account": rng.choice(["basic", "premium"], 600), "segment": ["x", "y"] * 300,
        }
    )  # fmt: skip
    assert read(saved(tmp_path, frame)).notes[0] == "Every row counts as one customer."


def test_rows_randomised_individually_can_be_read_as_units(tmp_path: Path):
    path = saved(tmp_path, visits().rename({"who": "userId"}))
    assert read(path, is_row_a_unit=True, shares={"a": 1.0, "b": 1.0}).unit == "customer"


def test_rows_of_a_unit_are_aggregated_by_the_method_of_each_measure(tmp_path: Path):
    frame = pl.DataFrame(
        [
            {"who": "1.0", "arm": "a", "spend": 3.0, "bought": 0},
            {"who": "1", "arm": "a", "spend": 4.0, "bought": 1},
            {"who": "2", "arm": "b", "spend": None, "bought": 0},
            {"who": None, "arm": "b", "spend": 9.0, "bought": 0},
            {"who": "3", "arm": "b", "spend": 1.0, "bought": 0},
            {"who": "3", "arm": "a", "spend": 1.0, "bought": 0},
            {"who": "4", "arm": None, "spend": 1.0, "bought": 0},
            {"who": "5", "arm": "b", "spend": 0.0, "bought": 0},
        ]
    )
    readout = read(saved(tmp_path, frame, "t.parquet"), unit_column="who", metrics=("spend", "bought"))
    means = [[(arm.customer_count, arm.mean) for arm in metric.arms] for metric in readout.metrics]
    assert means == [[(1, 7.0), (1, 0.0)], [(1, 1.0), (2, 0.0)]]
    assert [metric.unit for metric in readout.metrics] == [ReadoutUnit.NUMBER, ReadoutUnit.RATE]
    told = {check.title: check.message for check in readout.checks}
    assert told["One arm per who"] == "1 units were in more than one arm and are left out."
    assert told["Every row has a unit"] == "1 rows name no who and are left out."
    assert told["Every unit has an arm"] == "1 units name no arm and are left out."
    assert "(spend by sum, bought by any)" in readout.notes[0]
    mean = read(saved(tmp_path, frame, "t.parquet"), unit_column="who", whole=Whole.MEAN)
    assert mean.metrics[0].arms[0].mean == 3.5


def test_false_alarms_stay_nominal_if_rows_of_a_customer_are_correlated(tmp_path: Path):
    """Known truth: no effect. At the 5 % level, more than 13 alarms in 100 tables have a probability of 0.1 %.

    Rows counted one by one raise far more.
    """
    alarms = row_by_row = 0
    for seed in range(100):
        path = saved(tmp_path, visits(seed), "t.parquet")
        once = Inference.FIXED
        by_unit = read(path, unit_column="who", whole=Whole.MEAN, inference=once)
        alarms += by_unit.metrics[0].comparisons[0].is_conclusive
        rows = read(path, is_row_a_unit=True, shares={"a": 1.0, "b": 1.0}, inference=once)
        row_by_row += rows.metrics == () or rows.metrics[0].comparisons[0].is_conclusive
    assert alarms <= 13
    assert row_by_row > 20


def test_a_planted_lift_per_customer_is_recovered(tmp_path: Path):
    readout = read(saved(tmp_path, visits(3, 800, lift=4.0)), unit_column="who", whole=Whole.MEAN)
    effect = readout.metrics[0].comparisons[0].effect
    assert effect is not None
    assert effect.lower < 4.0 < effect.upper
    assert (readout.unit, readout.status) == ("who", Status.CONCLUSIVE)
    assert readout.sample_ratio.population == "units"


@pytest.mark.parametrize(
    ("text", "mean"),
    [
        ("arm;spend\na;8,30\na;1.060,11\n", 534.205),
        ('arm,spend\na,"8,30"\na,"60,11"\n', 34.205),
        ("arm\tspend\na\t4990.0\na\tNA\n", 4990.0),
        ("arm,spend\n a ,5\na,\\N\na,\na,n/a\n", 5.0),
        ("arm|spend\na|yes\na|no\n", 0.5),
    ],
)  # fmt: skip
def test_tables_are_read_as_people_have_them(tmp_path: Path, text: str, mean: float):
    delimiter = text[3]
    (tmp_path / "t.csv").write_text(text + "".join(f"b{delimiter}{number}\n" for number in (0, 1)))
    readout = read(tmp_path / "t.csv")
    assert readout.metrics[0].arms[0].mean == pytest.approx(mean)
    assert readout.refusal is not None
    assert readout.refusal.code is RefusalCode.ARM_TOO_SMALL


def test_a_value_that_is_not_a_number_is_named_with_its_row(tmp_path: Path):
    (tmp_path / "t.csv").write_text("arm;spend\na;3\nb;much\nb;5\n")
    with pytest.raises(
        InvalidInputError, match=r"got 'much' in row 2 and 1 such values in all .*separated by semicolons"
    ):
        read(tmp_path / "t.csv")


def test_arms_with_two_spellings_are_refused(tmp_path: Path):
    (tmp_path / "t.csv").write_text("arm,spend\nControl,3\ncontrol,5\nmail,4\n")
    with pytest.raises(InvalidInputError, match="must write each arm in one way, got 'Control' and 'control'"):
        read(tmp_path / "t.csv", control="control")


def test_unequal_shares_of_missing_values_between_arms_are_reported(tmp_path: Path):
    rng = np.random.default_rng(1)
    frame = pl.DataFrame({"arm": ["a", "b"] * 300, "spend": rng.gamma(2, 10, 600)})
    gone = pl.when((pl.col("arm") == "a") & (pl.int_range(pl.len()) % 3 != 0)).then(None).otherwise("spend")
    check = read(saved(tmp_path, frame.with_columns(spend=gone))).checks[-1]
    assert (check.title, check.status) == ("Values of spend", Health.WARN)
    assert "differs by more than chance" in check.message


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.add_typer(experiment_command.app)
    return lambda line: CliRunner().invoke(app, [*shlex.split(line), "--home", str(tmp_path / "home")])


def test_the_command_asks_for_the_unit_and_repeats_the_options_given(command, tmp_path: Path):
    saved(tmp_path, visits().rename({"who": "userId"}), "t.csv")
    ask = "experiment read --table t.csv --arm-column arm --control a --metric spend"
    assert isinstance(command(ask).exception, InvalidInputError)
    told = command(f"{ask} --unit-column userId --aggregate mean --json")
    assert "--unit-column userId --aggregate mean" in told.output
    for wrong, error in (
        (f"{ask} --aggregate sum", InvalidInputError),
        (f"{ask} --unit-column userId --each-row-a-unit", InvalidInputError),
        (f"{ask} --unit-column usrId", UnknownNameError),
        ("experiment read mail --unit-column userId", InvalidInputError),
    ):
        assert isinstance(command(wrong).exception, error), wrong
    rows = command(f"{ask} --each-row-a-unit")
    assert rows.exception is None or isinstance(rows.exception, InsufficientDataError)
