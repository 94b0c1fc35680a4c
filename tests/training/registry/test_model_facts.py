"""`model show` and `model compare` on a real registry and log."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
import typer
from typer.testing import CliRunner

from decisioning.catalogue.measure import Unit
from decisioning.errors import InvalidInputError, ModelUnavailableError, UnknownNameError
from features.catalogue import load_catalogue
from features.settings import Settings
from pipelines.commands import model
from training.foresight.hour_effects import HourReport
from training.foresight.learning import BETTER_HOURS
from training.intervals import Interval
from training.judgement.uplift import PlanReport, UpliftBin, UpliftCurve, UpliftReport
from training.judgement.uplift_pictures import write_tables
from training.models.group_slopes import GROUPS_NOTE, GroupFinding
from training.registry.model_comparison import ModelComparison, compare_models
from training.registry.model_facts import NO_BETTER, UNJUDGED, show_model
from training.registry.promotion import promote
from training.registry.run_metrics import ORDER
from training.registry.tracking import ModelRun, TrainingData, track_model

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BEST, STAMPS = "ten-percent/email/plain", "double-stamps/email/plain"
LIKES_STAMPS = {"ten-percent": 0.0, "double-stamps": 300.0, "free-coffee": -20.0, "opening-hours": -20.0}

pytestmark = pytest.mark.usefixtures("joined_once")


@pytest.fixture
def register(logged_home: Settings, value_bundle) -> Callable[..., str]:
    """Registers a model that is its own twin, learned from so many decisions; gives its version."""
    catalogue, shifts = load_catalogue(logged_home.catalogue_path), iter(range(100))

    def call(
        effects: dict[str, float] | None = None,
        *,
        decisions: int = 100,
        groups: tuple[GroupFinding, ...] = (),
        hours: HourReport | None = None,
        **run: object,
    ) -> str:
        notes = {"best_constant": BEST, "average_effects": {BEST: 5.0}, GROUPS_NOTE: [one.plain() for one in groups]}
        notes |= {BETTER_HOURS: hours.plain()} if hours else {}
        bundle = value_bundle(catalogue, shift=float(next(shifts)), notes=notes)
        if effects is not None:
            bundle = replace(bundle, coding=replace(bundle.coding, offer_offsets=effects))
        data = TrainingData(name="log", digest=f"d{decisions}", description={"decisions": str(decisions)})
        return track_model(
            logged_home, bundle, ModelRun(**{"parameters": {}, "metrics": {}, "twin": bundle, "data": data} | run)
        ).version

    return call


def test_a_version_is_shown_with_data_settings_figures_and_effects(logged_home: Settings, register):
    register(parameters={"rounds": 40}, metrics={"effect.ten-percent.email.plain": 7.0, "held_back_value": 12.5})
    facts = show_model(logged_home, "1")
    assert (facts.version, facts.is_champion, facts.measure) == ("1", False, "net_revenue")
    assert facts.data["decisions"] == "100"
    assert facts.settings == {"rounds": "40"}
    assert facts.figures["held_back_value"] == 12.5
    assert [(one.message_key, one.estimated, one.believed) for one in facts.effects] == [(BEST, 7.0, 5.0)]
    assert facts.features
    assert (facts.beats_chance, facts.order) == (None, UNJUDGED)


def test_a_model_that_orders_no_better_than_chance_is_told_so_plainly(logged_home: Settings, register):
    register(metrics={ORDER: 1.0, f"{ORDER}_lower": -2.0})
    register(metrics={ORDER: 3.0, f"{ORDER}_lower": 0.5})
    assert (show_model(logged_home, "1").beats_chance, show_model(logged_home, "2").beats_chance) == (False, True)
    assert NO_BETTER in shown("show", "1", home=logged_home)
    assert NO_BETTER not in shown("show", "2", home=logged_home)


def test_how_much_of_what_customers_differ_in_is_believed_is_shown_by_stage(logged_home: Settings, register):
    asked = GroupFinding(
        by="stage", group="lapsed", decisions=1234, believed=0.25, slope=-0.1, slope_error=0.3, gain=None,
        gain_error=None,
    )  # fmt: skip
    register(groups=(asked,))
    assert show_model(logged_home, "1").groups == (asked.plain(),)
    told = shown("show", "1", home=logged_home)
    for word in ("stage", "lapsed", "1,234", "-0.1 ± 0.3", "0.25", "not known"):
        assert word in told


def test_what_choosing_the_hour_gains_is_shown(logged_home: Settings, register):
    register()
    register(hours=HourReport(strength=1.0, gain=12.5, standard_error=3.0, wait_hours=24.0, words="messages wait"))
    assert show_model(logged_home, "1").hours == {}
    assert "hours of the week" not in shown("show", "1", home=logged_home)
    told = shown("show", "2", home=logged_home)
    for word in ("hours of the week", "24 hours", "+12.5 ± 3", "messages wait"):
        assert word in told


def test_the_champion_is_shown_unless_a_version_is_named(logged_home: Settings, register):
    register()
    with pytest.raises(ModelUnavailableError, match="must have a champion to show"):
        show_model(logged_home)
    promote(logged_home, "1", now=NOW)
    register()
    assert (show_model(logged_home).version, show_model(logged_home).is_champion) == ("1", True)
    with pytest.raises(UnknownNameError):
        show_model(logged_home, "9")


@pytest.fixture
def compared(logged_home: Settings, register) -> ModelComparison:
    """Version 1 sends stamps to everybody, version 2 the shop's best message, worth some 300 more."""
    register(LIKES_STAMPS, parameters={"rounds": 40, "seed": 1})
    register(parameters={"rounds": 50, "seed": 1}, decisions=120)
    return compare_models(logged_home, "1", "2", now=NOW)


def test_what_changed_between_two_versions_is_listed(compared: ModelComparison):
    assert [(one.name, one.one, one.other) for one in compared.settings] == [("rounds", "40", "50")]
    assert [(one.name, one.one, one.other) for one in compared.data] == [("decisions", "100", "120")]
    assert compared.features == ()


def test_every_decision_that_differs_is_counted_for_whom_and_from_what_to_what(compared: ModelComparison):
    contest = compared.contest
    assert contest is not None
    assert contest.is_free
    assert contest.differing == contest.decisions
    assert [(one.before, one.after, one.decisions) for one in contest.moves] == [(STAMPS, BEST, contest.decisions)]
    assert contest.moves[0].gain.value == pytest.approx(contest.gain.value)
    assert sum(one.decisions for one in contest.by_stage) == contest.decisions
    assert set(contest.by_segment) == {"value_tier", "tenure", "region", "preferred_channel"}
    for groups in contest.by_segment.values():
        assert sum(one.differing for one in groups) == contest.differing


def test_the_gain_is_paired_and_has_the_sign_of_the_better_version(logged_home: Settings, compared: ModelComparison):
    gain = compared.contest.gain
    assert gain.value > 0
    assert gain.lower < 300 < gain.upper
    silences = compared.contest.over_silence
    assert silences["2"].value - silences["1"].value == pytest.approx(gain.value)
    back = compare_models(logged_home, "2", "1", now=NOW).contest.gain
    assert (back.value, back.lower) == pytest.approx((-gain.value, -gain.upper))


def test_two_equal_versions_differ_in_nothing(logged_home: Settings, register):
    register(LIKES_STAMPS)
    register(LIKES_STAMPS)
    contest = compare_models(logged_home, "1", "2", now=NOW).contest
    assert (contest.differing, contest.moves, contest.gain.value) == (0, (), 0.0)
    with pytest.raises(InvalidInputError, match="two different versions"):
        compare_models(logged_home, "1", "1", now=NOW)


def test_on_a_log_that_rules_have_shaped_versions_differ_in_what_they_would_keep(logged_home: Settings, register):
    for path in logged_home.catalogue_path.glob("*.yaml"):
        path.write_text(path.read_text().replace("learning: {", "learning: {method: steps, "))
    register(LIKES_STAMPS)
    register()
    contest = compare_models(logged_home, "1", "2", now=NOW).contest
    assert not contest.is_free
    assert 0 < contest.differing < contest.decisions
    assert all("silence" in (move.before, move.after) for move in contest.moves)


def test_versions_of_different_windows_are_compared_without_decisions(logged_home: Settings, register, value_bundle):
    register()
    bundle = value_bundle(load_catalogue(logged_home.catalogue_path))
    run = ModelRun(parameters={}, metrics={}, data=TrainingData(name="log", digest="ab"))
    track_model(logged_home, replace(bundle, window_days=3.0), run)
    found = compare_models(logged_home, "1", "2", now=NOW)
    assert found.contest is None
    assert "different measures or windows" in found.notes[0]


def test_both_commands_print_for_people_and_for_programs(logged_home: Settings, compared: ModelComparison):
    told = shown("compare", "1", "2", home=logged_home)
    assert "of the" not in told.splitlines()[0]
    assert f"{compared.contest.differing} of {compared.contest.decisions} decisions" in told.replace(",", "")
    assert STAMPS in told
    found = orjson.loads(shown("compare", "1", "2", "--json", home=logged_home))
    assert found["contest"]["differing"] == compared.contest.differing
    assert orjson.loads(shown("show", "2", "--json", home=logged_home))["order"] == UNJUDGED
    assert "rounds" in shown("show", "2", home=logged_home)


def test_calibration_of_a_judged_version_is_shown(logged_home: Settings, register, tmp_path: Path, uplift_report):
    register(tables=write_tables(uplift_report, tmp_path))
    told = shown("show", "1", home=logged_home)
    assert "slope of realised on predicted uplift" in told
    assert NO_BETTER in told
    found = orjson.loads(shown("show", "1", "--json", home=logged_home))
    assert found["uplift"]["model"]["bins"][0]["realised"]["value"] == 1.5


@pytest.fixture
def uplift_report() -> UpliftReport:
    """Of a model without skill, with every number made up."""
    around, line = Interval(value=0.1, lower=-1.0, upper=1.2), (0.0, 0.5, 1.0)
    curve = UpliftCurve(shares=line, values=line, lower=line, upper=line)
    realised = Interval(value=1.5, lower=-1.0, upper=4.0)
    plan = PlanReport(
        version=None, qini=around, qini_share=None, auuc=around, checks={}, contact_all=around, slope=around,
        curve=curve, net_curve=curve, net_all=around, net_stop=around, stop_share=0.4,
        bins=(UpliftBin(decisions=10, customers=9, predicted=1.0, realised=realised),),
    )  # fmt: skip
    return UpliftReport(
        decisions=10, customers=9, unit=Unit.MONEY, currency="EUR", model=plan, incumbent=None, constant=None,
        over_incumbent={}, over_constant={},
    )  # fmt: skip


def shown(*words: str, home: Settings) -> str:
    app = typer.Typer()
    app.add_typer(model.app)
    environment = {"NEXTBEST_MLRUNS": str(home.mlruns)}
    result = CliRunner().invoke(app, ["model", *words, "--home", str(home.home)], env=environment)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout
