"""Readouts of tables: real experiments compared with a direct computation, and every kind of bad file."""

import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from decisioning.catalogue.experiment import Inference
from decisioning.errors import InvalidInputError, UnknownNameError
from features.reports.readouts import Health, Readout, ReadoutUnit, RefusalCode, Status
from training.experiments.readouts import ReadoutInputs
from training.experiments.tables.table_readouts import TableDesign, read_table

NOW = datetime(2026, 3, 1, tzinfo=UTC)
READING = ReadoutInputs(as_of=NOW, computed_at=NOW, command="nextbest experiment read --table ...", source="a table")
DATA = Path(os.environ.get("NEXTBEST_TEST_DATA", Path(__file__).parents[3] / "../shared/data"))


def read(path: Path, **design: object) -> Readout:
    fields = {"readout_id": "test", "arm_column": "arm", "control": "a", "metrics": ("spend",), "shares": {}} | design
    return read_table(path, TableDesign(**fields), READING)  # pyright: ignore[reportArgumentType]


def public_data(name: str) -> Path:
    path = DATA / name / f"{name}.parquet"
    if not path.is_file():
        pytest.skip(f"public data set {name} is not in {DATA}; set NEXTBEST_TEST_DATA")
    return path


def table(count: int = 200, **columns: object) -> pl.DataFrame:
    rng = np.random.default_rng(1)
    arms = ["a", "b"] * (count // 2)
    return pl.DataFrame({"arm": arms, "spend": rng.gamma(2, 10, count), **columns})


def parquet(folder: Path, frame: pl.DataFrame) -> Path:
    frame.write_parquet(folder / "table.parquet")
    return folder / "table.parquet"


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "arm_column", "control", "metrics"),
    [
        ("hillstrom", "segment", "No E-Mail", ("visit", "conversion", "spend")),
        ("cookie_cats", "test_version", "gate_30", ("retention_1", "retention_7", "sum_gamerounds")),
    ],
)
def test_differences_and_standard_errors_equal_a_direct_computation(
    name: str, arm_column: str, control: str, metrics: tuple[str, ...]
):
    path = public_data(name)
    readout = read(path, arm_column=arm_column, control=control, metrics=metrics)
    rows = pl.read_parquet(path)
    compared = 0
    for metric in readout.metrics:
        base = rows.filter(pl.col(arm_column) == control)[metric.metric_id].cast(pl.Float64).to_numpy()
        for comparison in metric.comparisons:
            arm = rows.filter(pl.col(arm_column) == comparison.arm_id)[metric.metric_id].cast(pl.Float64).to_numpy()
            assert comparison.effect is not None
            assert comparison.effect.difference == pytest.approx(arm.mean() - base.mean(), rel=1e-9)
            error = np.sqrt(arm.var(ddof=1) / len(arm) + base.var(ddof=1) / len(base))
            assert comparison.effect.standard_error == pytest.approx(error, rel=1e-9)
            compared += 1
    assert compared == len(metrics) * (rows[arm_column].n_unique() - 1)


@pytest.mark.data
def test_cookie_cats_gets_warnings_about_its_split_and_its_outlier():
    readout = read(
        public_data("cookie_cats"),
        arm_column="test_version",
        control="gate_30",
        metrics=("retention_7", "sum_gamerounds"),
        inference=Inference.FIXED,
    )
    assert readout.sample_ratio.p_value == pytest.approx(0.0086, abs=5e-5)
    assert readout.sample_ratio.status is Health.WARN
    assert readout.status is Status.CONCLUSIVE
    assert "retention_7 is 0.82 points lower in gate_40 than in gate_30" in readout.verdict.replace("\xa0", " ")
    assert [metric.unit for metric in readout.metrics] == [ReadoutUnit.RATE, ReadoutUnit.NUMBER]
    assert "One customer of gate_30" in readout.metrics[1].notes[0]


@pytest.mark.data
def test_hillstrom_lifts_are_the_published_ones():
    """Golden: visit rates of the full published data are 18.3 %, 15.1 % and 10.6 %; the file holds 70 % of its rows."""
    readout = read(public_data("hillstrom"), arm_column="segment", control="No E-Mail", metrics=("visit", "spend"))
    means = {arm.arm_id: arm.mean for arm in readout.metrics[0].arms}
    assert means == pytest.approx({"No E-Mail": 0.106, "Mens E-Mail": 0.183, "Womens E-Mail": 0.151}, abs=0.002)
    assert readout.verdict.startswith("2 of 2 arms differ from No E-Mail; highest: visit is 7.67")


def test_csv_and_parquet_give_the_same_readout(tmp_path: Path):
    frame = table(bought=[True, False] * 100)
    frame.write_csv(tmp_path / "table.csv")
    metrics = ("spend",)
    assert read(tmp_path / "table.csv", metrics=metrics) == read(parquet(tmp_path, frame), metrics=metrics)


def test_flags_and_zeros_with_ones_are_rates_and_other_numbers_are_not(tmp_path: Path):
    rng = np.random.default_rng(2)
    path = parquet(
        tmp_path, table(flag=rng.random(200) < 0.5, hit=(rng.random(200) < 0.5).astype(int), visits=[1, 2] * 100)
    )
    readout = read(path, metrics=("flag", "hit", "visits"))
    assert [metric.unit for metric in readout.metrics] == [ReadoutUnit.RATE, ReadoutUnit.RATE, ReadoutUnit.NUMBER]


def test_a_sample_ratio_mismatch_blocks_the_readout_and_the_right_shares_unblock_it(tmp_path: Path):
    path = parquet(tmp_path, table().filter((pl.col("arm") == "a") | (pl.int_range(pl.len()) % 4 == 1)))
    blocked = read(path)
    assert blocked.status is Status.REFUSED
    assert blocked.refusal is not None
    assert blocked.refusal.code is RefusalCode.SAMPLE_RATIO
    assert blocked.metrics == ()
    assert "--share" in blocked.verdict
    assert read(path, shares={"a": 2.0, "b": 1.0}).sample_ratio.status is Health.OK


def test_a_tiny_arm_is_refused_with_its_size(tmp_path: Path):
    readout = read(parquet(tmp_path, table(40)))
    assert readout.status is Status.REFUSED
    assert readout.refusal is not None
    assert readout.refusal.code is RefusalCode.ARM_TOO_SMALL
    assert "20 customers" in readout.verdict


def test_one_arm_without_numbers_does_not_refuse_the_others(tmp_path: Path):
    rng = np.random.default_rng(3)
    frame = pl.DataFrame({"arm": ["a", "b", "c"] * 60, "spend": rng.gamma(2, 10, 180)})
    frame = frame.with_columns(spend=pl.when(pl.col("arm") == "c").then(3.0).otherwise(pl.col("spend")))
    readout = read(parquet(tmp_path, frame))
    assert readout.status is not Status.REFUSED
    refused = readout.metrics[0].comparisons[1]
    assert refused.refusal is not None
    assert refused.refusal.code is RefusalCode.NO_VARIANCE


def test_missing_and_infinite_values_are_counted_and_rows_without_an_arm_are_left_out(tmp_path: Path):
    frame = table().with_columns(
        spend=pl.when(pl.int_range(pl.len()) == 0)
        .then(float("inf"))
        .when(pl.int_range(pl.len()) == 2)
        .then(float("nan"))
        .when(pl.int_range(pl.len()) == 4)
        .then(None)
        .otherwise(pl.col("spend")),
        arm=pl.when(pl.int_range(pl.len()) == 7).then(None).otherwise(pl.col("arm")),
    )
    readout = read(parquet(tmp_path, frame))
    assert readout.metrics[0].arms[0].missing_count == 3
    assert readout.metrics[0].arms[0].customer_count == 97
    assert [arm.assigned_count for arm in readout.arms] == [100, 99]
    assert readout.checks[0].status is Health.WARN
    assert "1 rows name no arm" in readout.checks[0].message
    assert readout.checks[1].message.startswith("spend is known for a 97.0")
    assert readout.checks[1].status is Health.OK


def test_arms_may_be_numbers_or_flags(tmp_path: Path):
    rng = np.random.default_rng(4)
    frame = pl.DataFrame({"arm": [0, 1] * 100, "spend": rng.gamma(2, 10, 200)})
    assert read(parquet(tmp_path, frame), control="0").arms[1].arm_id == "1"
    flags = frame.with_columns(pl.col("arm").cast(pl.Boolean))
    assert read(parquet(tmp_path, flags), control="false").arms[1].arm_id == "true"


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"arm_column": "amr"}, UnknownNameError, "did you mean 'arm'"),
        ({"metrics": ("spendd",)}, UnknownNameError, "did you mean 'spend'"),
        ({"control": "A"}, UnknownNameError, "control must be a known name, got 'A'"),
        ({"metrics": ("word",)}, InvalidInputError, "metric 'word' must be a column of numbers or flags"),
        ({"metrics": ("when",)}, InvalidInputError, "metric 'when' must be a column of numbers or flags"),
        ({"metrics": ()}, InvalidInputError, "metric must be given at least once"),
        ({"arm_column": "row", "control": "0"}, InvalidInputError, "at most 20 arms, got 200"),
        ({"arm_column": "only", "control": "a"}, InvalidInputError, "at least two arms, got only 'a'"),
        ({"arm_column": "nothing", "control": "a"}, InvalidInputError, "must name arms, got no value"),
        ({"shares": {"a": 0.5}}, InvalidInputError, "share must be given for every arm"),
        ({"shares": {"a": 0.5, "z": 0.5}}, UnknownNameError, "arm of --share must be a known name, got 'z'"),
        ({"shares": {"a": 0.5, "b": float("nan")}}, InvalidInputError, "as a number above 0"),
        ({"shares": {"a": -1.0, "b": 2.0}}, InvalidInputError, "as a number above 0"),
    ],
)
def test_an_invalid_question_is_answered_with_valid_options(
    tmp_path: Path, change: dict[str, object], error: type[Exception], words: str
):
    frame = table(
        word=["x"] * 200, when=[NOW] * 200, row=list(range(200)), only=["a"] * 200, nothing=pl.Series([None] * 200)
    )
    with pytest.raises(error, match=words.replace("(", r"\(")):
        read(parquet(tmp_path, frame), **change)


def test_an_unreadable_file_is_refused_with_our_own_message(tmp_path: Path):
    whole = parquet(tmp_path, table())
    files = {
        "gone.parquet": None,
        "empty.csv": b"",
        "cut.parquet": whole.read_bytes()[: whole.stat().st_size // 2],
        "text.parquet": b"arm,spend\na,1\n",
        "ragged.csv": b"arm,spend\na,1\nb,2,3,4\n",
        "binary.csv": bytes(range(256)) * 20,
        "table.xlsx": b"PK",
    }
    for name, payload in files.items():
        if payload is not None:
            (tmp_path / name).write_bytes(payload)
        with pytest.raises(InvalidInputError, match=r"(table|column|csv|row 2) must "):
            read(tmp_path / name)
    with pytest.raises(InvalidInputError, match="not there or not a file"):
        read(tmp_path)


def test_a_file_with_a_header_only_is_refused(tmp_path: Path):
    (tmp_path / "table.csv").write_text("arm,spend\n")
    with pytest.raises(InvalidInputError, match="must"):
        read(tmp_path / "table.csv")
    with pytest.raises(InvalidInputError, match="must name arms"):
        read(parquet(tmp_path, table().clear()))


def test_columns_known_beforehand_take_noise_away(tmp_path: Path):
    before = np.random.default_rng(1).gamma(2, 10, 400)
    frame = table(400).with_columns(before=pl.Series(before), spend=pl.Series(before) + pl.col("spend") / 10)
    plain, adjusted = read(parquet(tmp_path, frame)), read(parquet(tmp_path, frame), covariates=("before",))
    effects = [one.metrics[0].comparisons[0].effect for one in (plain, adjusted)]
    assert effects[0] is not None
    assert effects[1] is not None
    assert effects[1].standard_error < effects[0].standard_error / 4
    assert "Covariates from before the experiment" in [check.title for check in adjusted.checks]
    with pytest.raises(UnknownNameError, match="did you mean 'before'"):
        read(parquet(tmp_path, frame), covariates=("befor",))
