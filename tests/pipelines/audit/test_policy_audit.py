"""Audits of logged probabilities: honest logs pass, planted errors are found, and both error rates are known."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
import typer
from typer.testing import CliRunner

from decisioning.decision import Decision, Inputs
from decisioning.errors import InsufficientDataError, InvalidInputError
from decisioning.policy import Policy, decide
from features.log.contracts import DECISIONS
from features.log.rows import frame_of, parse_row
from features.models.logged_decisions import LoggedDecisions
from pipelines.audit.audit import AuditPlan, AuditReport, audit_policy
from pipelines.audit.draw_statistics import FrequencyTest, detectable_shift, place_in_order, uniformity
from pipelines.commands import policy as policy_command

SMALL = AuditPlan(decisions=60, draws=60)


def audited(home, plan: AuditPlan = SMALL, **engine: Any) -> AuditReport:
    return audit_policy(home.log, LoggedDecisions(home.settings), plan, **engine)


def failing(report: AuditReport) -> list[str]:
    return [test.name for test in report.tests if test.fails]


@pytest.fixture
def run(decided_home) -> Callable[..., tuple[int, str]]:
    app = typer.Typer()
    app.add_typer(policy_command.app)

    def call(*arguments: object) -> tuple[int, str]:
        asked = ["policy", "audit", *map(str, arguments), "--home", str(decided_home.settings.home)]
        result = CliRunner().invoke(app, asked)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout

    return call


def test_an_honest_log_passes(audited_home) -> None:
    report = audited(audited_home, AuditPlan(decisions=150, draws=40))
    assert report.passes, report.document()
    assert (report.audited, report.wrong, report.picked, failing(report)) == (150, (), (), [])
    names = {test.name for test in report.tests}
    assert {"frequency, all", "frequency, reason MODEL", "frequency, arm engine-vs-random: random"} <= names
    assert {"choices follow probabilities", "draws are uniform"} <= names


@pytest.mark.parametrize("seed", ["a", "b", "c", "d"])
def test_an_honest_log_passes_under_any_seed(audited_home, seed: str) -> None:
    assert audited(audited_home, replace(SMALL, seed=seed)).passes


def test_a_wrong_probability_is_found_if_the_policy_is_available(decided_home) -> None:
    """Exact: the power is 1, however small the error and whatever the number of draws."""

    def lie(decision: Decision) -> Decision:
        evaluated = tuple(one._replace(probability=one.probability * 1.0001) for one in decision.evaluated)
        return replace(decision, evaluated=evaluated)

    decided_home.decide(range(59))
    decided_home.decide(range(59, 60), change_decision=lie)
    report = audited(decided_home, replace(SMALL, draws=1))
    assert not report.passes
    assert {one.decision_id for one in report.wrong} == {"dec_0000059"}
    (one, *_) = report.wrong
    assert one.logged == pytest.approx(1.0001 * (one.recomputed or 0.0))


def test_a_wrong_probability_of_the_choice_or_a_position_is_found(decided_home) -> None:
    decided_home.decide(range(2), change_decision=lambda decision: replace(decision, action_probability=0.4321))

    def lie(decision: Decision) -> Decision:
        return replace(decision, further=tuple(replace(one, action_probability=0.1234) for one in decision.further))

    decided_home.decide(range(3, 4), change_decision=lie)
    wrong = audited(decided_home, replace(SMALL, draws=1)).wrong
    assert [one.logged for one in wrong if one.message_key.startswith("chosen: ")] == [0.4321] * 2
    assert [one.logged for one in wrong if one.message_key.startswith("2: ")] == [0.1234]


def test_a_manipulated_draw_is_found(decided_home, with_uniform) -> None:
    decided_home.decide(range(30))
    decided_home.decide(range(30, 31), change_inputs=with_uniform(0.5))
    report = audited(decided_home, replace(SMALL, draws=1))
    assert (report.picked, report.passes) == (("dec_0000030",), False)


def test_a_log_whose_draws_are_not_random_fails(decided_home) -> None:
    """Every customer gets the likeliest choice; each single record is consistent because its uniform is fitted."""

    def fitted(inputs: Inputs) -> Inputs:
        tries = [replace(inputs, uniform=tenth / 10) for tenth in range(10)]
        return max(tries, key=lambda one: decide(decided_home.policy, one, "x").action_probability)

    decided_home.decide(range(300), change_inputs=fitted)
    report = audited(decided_home, AuditPlan(decisions=300, draws=1))
    assert len(report.picked) > 250
    assert "choices follow probabilities" in failing(report)
    assert "draws are uniform" in failing(report)


def test_an_engine_that_draws_with_other_probabilities_than_it_logs_fails(audited_home) -> None:
    """It explores half as often as it logs: 1 in 20 instead of 1 in 10."""

    def shy(policy: Policy, inputs: Inputs, decision_id: str) -> Decision:
        said = decide(policy, inputs, decision_id)
        if inputs.uniform * 7919 % 1 < 0.5 and said.message_key != said.best.message_key:
            return replace(said, message_key=said.best.message_key)
        return said

    report = audited(audited_home, decide=shy)
    assert "frequency, all" in failing(report)


def test_a_choice_logged_with_probability_0_fails(audited_home) -> None:
    def odd(policy: Policy, inputs: Inputs, decision_id: str) -> Decision:
        return replace(decide(policy, inputs, decision_id), message_key="no/such/message")

    report = audited(audited_home, replace(SMALL, decisions=5), decide=odd)
    assert [test.p_value for test in report.tests if test.name == "frequency, all"] == [0.0]


def test_decisions_without_their_policy_are_counted(decided_home) -> None:
    decided_home.decide(range(5))
    other = replace(decided_home, policy=Policy(decided_home.policy.catalogue, "another seed"))
    other.decide(range(5, 9))
    report = audited(decided_home)
    assert (report.audited, report.absent) == (5, {"never_kept": 4})


def test_a_log_without_decisions_says_so(decided_home, shop) -> None:
    with pytest.raises(InsufficientDataError, match="got none of 0"):
        audited(decided_home)
    decided_home.log.append(DECISIONS, shop.decisions.head(3))
    with pytest.raises(InsufficientDataError, match="got none of 0"):
        audited(decided_home)


def test_the_command_reports_as_text_and_json(decided_home, run) -> None:
    decided_home.decide(range(20))
    code, said = run("--decisions", 20, "--draws", 20, "--json")
    found = orjson.loads(said)
    assert (code, found["passes"], found["audited"], found["false_alarm"]) == (0, True, 20, 0.001)
    code, said = run("--decisions", 20, "--draws", 20)
    assert code == 0
    assert "the logged probabilities are true" in said
    decided_home.decide(range(20, 21), change_inputs=lambda inputs: replace(inputs, uniform=0.123))
    code, said = run("--decisions", 21, "--draws", 2)
    assert code == 1
    assert "dec_0000020: its draw does not match its request key" in said


# known truth: the statistics on their own


def multinomial_test(rng: np.random.Generator, said: list[float], real: list[float], decisions: int) -> FrequencyTest:
    test = FrequencyTest()
    names = [str(place) for place in range(len(said))]
    for _ in range(decisions):
        counts: list[int] = rng.multinomial(60, real).tolist()
        test.add(dict(zip(names, said, strict=True)), Counter(dict(zip(names, counts, strict=True))))
    return test


RARE = [0.97, 0.01, 0.01, 0.005, 0.005]


def test_the_statistic_has_the_stated_mean_and_variance() -> None:
    rng = np.random.default_rng(5)
    ones = [multinomial_test(rng, RARE, RARE, 1) for _ in range(4_000)]
    assert np.mean([one.statistic for one in ones]) == pytest.approx(ones[0].mean, rel=0.05)
    assert np.var([one.statistic for one in ones]) == pytest.approx(ones[0].variance, rel=0.15)


def test_rare_choices_make_the_tail_no_heavier_than_stated() -> None:
    """Two or three draws of a choice that is expected a third of a time raise the statistic a lot, by chance alone."""
    rng = np.random.default_rng(7)
    ones = [multinomial_test(rng, RARE, RARE, 1) for _ in range(20_000)]
    deviations = np.array([one.statistic for one in ones]) - ones[0].mean
    assert np.mean(deviations**3) == pytest.approx(ones[0].third_cumulant, rel=0.1)
    values = np.array([one.p_value() for one in ones])
    assert (values < 0.001).sum() <= 25  # 20 expected; 41 if the skewness is left out
    assert (values < 0.0001).sum() <= 5  # 2 expected; 14


def test_false_alarms_are_as_rare_as_stated() -> None:
    """400 honest audits with rare choices, 60 decisions each: about 1 % fail at the 1 % level, and none by far."""
    rng = np.random.default_rng(11)
    values = np.array([multinomial_test(rng, RARE, RARE, 60).p_value() for _ in range(400)])
    assert (values < 0.01).mean() <= 0.03
    assert (values < 0.0001).sum() == 0
    assert 0.4 < values.mean() < 0.75  # two tests combined, each at half the level


def test_a_probability_that_is_off_by_a_quarter_is_found_with_high_power() -> None:
    """Logged 0.10, drawn with 0.125: with 60 decisions and 60 draws, power is above 95 % at the 0.1 % level."""
    rng = np.random.default_rng(13)
    said, real = [0.9, 0.1], [0.875, 0.125]
    found = [multinomial_test(rng, said, real, 60).p_value() < 0.001 for _ in range(100)]
    assert np.mean(found) >= 0.9


def test_places_are_uniform_for_honest_choices_and_low_for_greedy_ones() -> None:
    rng = np.random.default_rng(3)
    chances = {"silence": 0.05, "a": 0.9, "b": 0.05}
    chosen = rng.choice(list(chances), p=list(chances.values()), size=900)
    honest = [place_in_order(chances, str(one), rng.random()) for one in chosen]
    greedy = [place_in_order(chances, "a", rng.random()) for _ in range(900)]
    assert uniformity(honest) > 0.001
    assert uniformity(greedy) < 1e-6
    assert max(greedy) < 0.9


def test_the_stated_detectable_shift_is_right() -> None:
    assert detectable_shift(0, false_alarm=0.01) == 1.0
    assert detectable_shift(100, false_alarm=0.01) > detectable_shift(1_000, false_alarm=0.01)
    rng, count = np.random.default_rng(17), 500
    shift = detectable_shift(count, false_alarm=0.001)
    found = [uniformity(np.minimum(rng.random(count) * (1 - shift), 1.0).tolist()) < 0.001 for _ in range(100)]
    assert np.mean(found) >= 0.9
    assert uniformity([]) == FrequencyTest().p_value() == 1.0


def test_a_sample_depends_on_the_seed_only(audited_home) -> None:
    one, same, other = (
        audited(audited_home, AuditPlan(decisions=10, draws=2, seed=seed)).document() for seed in ("x", "x", "y")
    )
    told = [{name: value for name, value in one.items() if name != "seconds"} for one in (one, same, other)]
    assert told[0] == told[1] != told[2]


def test_a_damaged_record_is_refused_with_its_decision(decided_home) -> None:
    row = {"decision_id": "dec_damaged", "customer_id": "C", "decided_at": "2026-01-01T00:00:00Z", "record": "{}"}
    decided_home.log.append(DECISIONS, frame_of(DECISIONS, [parse_row("decisions", orjson.dumps(row))[1]]))
    with pytest.raises(InvalidInputError, match="record of dec_damaged must be readable"):
        audited(decided_home)
