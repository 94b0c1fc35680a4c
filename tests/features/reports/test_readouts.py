"""Stored readouts: they are read back unchanged, any name is safe, and a damaged file affects no other."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decisioning.errors import InvalidInputError, UnknownNameError
from features.reports.readouts import (
    ArmComparison,
    ArmCount,
    ArmMean,
    Check,
    Effect,
    Health,
    Metric,
    Readout,
    ReadoutKind,
    ReadoutUnit,
    Refusal,
    RefusalCode,
    RelativeLift,
    SampleRatio,
    Status,
    read_readout,
    readout_from_json,
    readout_to_json,
    stored_readouts,
    write_readout,
)

NOW = datetime(2026, 6, 1, 9, 30, tzinfo=UTC)


def make_readout(readout_id: str = "test", kind: ReadoutKind = ReadoutKind.EXPERIMENT, **changes: object) -> Readout:
    counts = [
        ArmCount(
            arm_id=arm,
            is_control=arm == "a",
            share=0.5,
            assigned_count=10,
            exposed_count=9,
            exposure_count=12,
            complete_count=8,
        )
        for arm in ("a", "b")
    ]
    effect = Effect(
        difference=0.1 + 0.2,
        standard_error=1 / 3,
        lower=-0.35,
        upper=0.95,
        p_value=0.36,
        adjusted_p_value=0.36,
        relative=RelativeLift(lift=0.1, lower=-0.1, upper=0.3),
    )
    refusal = Refusal(code=RefusalCode.ARM_TOO_SMALL, message="arm 'c' is too small")
    metric = Metric(
        metric_id="net_revenue",
        unit=ReadoutUnit.MONEY_MINOR,
        currency="EUR",
        is_primary=True,
        arms=(ArmMean(arm_id="a", customer_count=8, missing_count=0, mean=1.5, standard_deviation=None),),
        comparisons=(
            ArmComparison(arm_id="b", effect=effect, refusal=None, is_conclusive=False, sentence="b, c"),
            ArmComparison(arm_id="c", effect=None, refusal=refusal, is_conclusive=False, sentence="none"),
        ),
        notes=("a note",),
    )
    readout = Readout(
        readout_id=readout_id,
        kind=kind,
        status=Status.INCONCLUSIVE,
        verdict="Not conclusive yet",
        refusal=None,
        control_arm_id="a",
        exposure="delivered",
        window_days=7.0,
        arms=tuple(counts),
        sample_ratio=SampleRatio(population="customers", status=Health.OK, p_value=0.5, message="fine"),
        assignment_ratio=None,
        checks=(Check(title="t", status=Health.WARN, message="m"),),
        metrics=(metric,),
        notes=(),
        first_exposure_at=NOW - timedelta(days=30),
        last_exposure_at=None,
        as_of=NOW,
        computed_at=NOW,
        command="nextbest experiment read test",
        source="the decision log",
        catalogue_version="v",
    )
    return replace(readout, **changes)  # pyright: ignore[reportArgumentType]


def test_a_readout_is_read_back_exactly_as_written(tmp_path: Path):
    readout = make_readout()
    write_readout(tmp_path / "readouts", readout)
    assert read_readout(tmp_path / "readouts", "test") == readout
    assert readout_from_json(readout_to_json(readout)) == readout


def test_writing_again_replaces_and_leaves_no_other_file(tmp_path: Path):
    write_readout(tmp_path, make_readout())
    newer = make_readout(verdict="newer")
    path = write_readout(tmp_path, newer)
    assert read_readout(tmp_path, "test") == newer
    assert list(tmp_path.iterdir()) == [path]


@given(st.text(min_size=1, max_size=30).filter(lambda name: not name.startswith(".")))
def test_any_name_stays_inside_the_folder_and_is_read_back(tmp_path_factory: pytest.TempPathFactory, name: str):
    folder = tmp_path_factory.mktemp("readouts")
    try:
        name.encode()
        path = write_readout(folder, make_readout(name))
    except (UnicodeEncodeError, InvalidInputError):
        return
    assert path.parent == folder
    assert [readout.readout_id for readout in stored_readouts(folder).readouts] == [name]
    assert read_readout(folder, name).readout_id == name


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "x" * 121, "é" * 60])
def test_a_name_that_cannot_be_a_file_is_refused(tmp_path: Path, name: str):
    with pytest.raises(InvalidInputError, match="readout name must be"):
        write_readout(tmp_path, make_readout(name))
    with pytest.raises(UnknownNameError):
        read_readout(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_leads_out_of_the_folder_finds_nothing(tmp_path: Path):
    write_readout(tmp_path, make_readout("secret"))
    with pytest.raises(UnknownNameError):
        read_readout(tmp_path / "readouts", "../secret")


def test_an_unknown_name_is_reported_with_the_nearest(tmp_path: Path):
    write_readout(tmp_path, make_readout("engine-vs-random"))
    with pytest.raises(UnknownNameError, match="did you mean 'engine-vs-random'"):
        read_readout(tmp_path, "engine-vs-rando")


def test_a_table_does_not_take_the_name_of_an_experiment(tmp_path: Path):
    write_readout(tmp_path, make_readout())
    with pytest.raises(InvalidInputError, match="must not be taken, got 'test', which is a stored experiment"):
        write_readout(tmp_path, make_readout(kind=ReadoutKind.TABLE))
    assert read_readout(tmp_path, "test").kind is ReadoutKind.EXPERIMENT


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b'{"readout_id": 3}', b"\xff\xfe", readout_to_json(make_readout())[:-200]]
)
def test_a_damaged_file_is_named_and_hides_no_other(tmp_path: Path, payload: bytes):
    write_readout(tmp_path, make_readout("good"))
    (tmp_path / "bad.json").write_bytes(payload)
    with pytest.raises(InvalidInputError, match="readout must be JSON written by"):
        read_readout(tmp_path, "bad")
    stored = stored_readouts(tmp_path)
    assert [readout.readout_id for readout in stored.readouts] == ["good"]
    assert stored.damaged == ("bad",)
    write_readout(tmp_path, make_readout("bad", kind=ReadoutKind.TABLE))
    assert stored_readouts(tmp_path).damaged == ()


def test_a_readout_of_another_format_is_refused(tmp_path: Path):
    plain = orjson.loads(readout_to_json(make_readout())) | {"format_version": 2}
    with pytest.raises(InvalidInputError, match="readout format must be 1, got 2"):
        readout_from_json(orjson.dumps(plain))


def test_stored_readouts_come_newest_first_and_a_missing_folder_is_empty(tmp_path: Path):
    assert stored_readouts(tmp_path / "none").readouts == ()
    for days, name in ((3, "old"), (1, "new"), (2, "middle")):
        write_readout(tmp_path, make_readout(name, computed_at=NOW - timedelta(days=days)))
    assert [readout.readout_id for readout in stored_readouts(tmp_path).readouts] == ["new", "middle", "old"]
