"""Cases that are chased and solved, and what customers say of their trips: surveys, reviews, posts."""

import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IntArray
from pipelines.simulation.events.table_rows import Sheet
from pipelines.simulation.events.texts import languages_of, words_for
from pipelines.simulation.events.timing import acted_hours
from pipelines.simulation.world.chance import Cause
from pipelines.simulation.world.journey import JourneyStep
from pipelines.simulation.world.state import OpenTrouble, keys_of
from pipelines.simulation.world.week import WeekResult

POSTING_RATE = 0.35
"""P(a customer in trouble writes in public), at full sociability."""

CHASING_RATE = 0.25
"""P(asking again in a week in which a case stays open)."""

SURVEY_RATE = 0.15
"""P(answering a survey after a trip or a case)."""

REVIEW_RATE = 0.15
"""P(reviewing a trip unasked), at full sociability."""

_BY_SCORE = ("survey_bad", "survey_middling", "survey_good")


def add_service(sheet: Sheet, result: WeekResult) -> None:
    """Add what happens in cases, and what customers say."""
    _add_posts(sheet, result)
    _add_chasing(sheet, result)
    _add_solutions(sheet, result)
    _add_trip_surveys(sheet, result)
    _add_reviews(sheet, result)


def _case_ids(result: WeekResult, rows: IntArray) -> list[str]:
    weeks = result.before.case_week[rows].tolist()
    return [f"case-{week}-{row}" for week, row in zip(weeks, rows.tolist(), strict=True)]


def _add_posts(sheet: Sheet, result: WeekResult) -> None:
    """Public posts on the day after the trouble began; the case that operations opened is named with them."""
    people, week = result.effects.population, result.when.week
    opened = (result.before.step == JourneyStep.TRAVEL) & (result.after.case > 0)
    posts = opened & (result.chance(Cause.POSTED) < POSTING_RATE * people.sociability)
    for case, occasion in ((OpenTrouble.BAG, "post_bag"), (OpenTrouble.CANCELLED, "post_cancelled")):
        rows = np.flatnonzero(posts & (result.after.case == case))
        said = {"text": words_for(occasion, result, rows), "case_id": keys_of("case", week, rows).to_list()}
        sheet.add("social_post", rows, np.full(rows.size, 167.5), keys="post", properties=said, channel="social_dm")


def _add_chasing(sheet: Sheet, result: WeekResult) -> None:
    stays = (result.before.step == JourneyStep.RECOVER) & (result.after.step == JourneyStep.RECOVER)
    rows = np.flatnonzero(stays & (result.chance(Cause.CHASED) < CHASING_RATE))
    hours = 24 + 96 * result.chance(Cause.TOLD_AT)[rows]
    properties = {"text": words_for("chasing", result, rows), "case_id": _case_ids(result, rows)}
    sheet.add("call_note", rows, hours, keys="chased", properties=properties, channel="call")


def _add_solutions(sheet: Sheet, result: WeekResult) -> None:
    """A bag is found, other cases are closed; then some say how that was."""
    ends = (result.before.step == JourneyStep.RECOVER) & (result.after.step != JourneyStep.RECOVER)
    hours = 12 + 120 * result.chance(Cause.TOLD_AT)
    for kind, of in (
        ("bag_found", result.before.case == OpenTrouble.BAG),
        ("case_resolved", result.before.case != OpenTrouble.BAG),
    ):
        rows = np.flatnonzero(ends & of)
        properties = {"case_id": _case_ids(result, rows)}
        sheet.add(kind, rows, hours[rows], keys=kind, properties=properties)
    lost = result.after.step == JourneyStep.LAPSE
    mood = 0.75 * result.chance(Cause.SCORE) + 0.35 * result.effects.population.patience - 0.4 * lost
    _add_survey(sheet, result, "csat", ends, hours + 20, 1 + np.clip(5 * mood, 0, 4.99), most=5)


def _add_trip_surveys(sheet: Sheet, result: WeekResult) -> None:
    step = result.before.step
    home = np.isin(step, (JourneyStep.RETURN_1, JourneyStep.LATE_1))
    mood = 0.55 + 0.45 * result.chance(Cause.SCORE) - 0.35 * (step == JourneyStep.LATE_1)
    _add_survey(sheet, result, "nps", home, 10 + 60 * result.chance(Cause.TOLD_AT), 10.99 * mood, most=10)


def _add_survey(
    sheet: Sheet, result: WeekResult, survey: str, who: BoolArray, hours: FloatArray, score: FloatArray, *, most: int
) -> None:
    asked = np.flatnonzero(who & (result.chance(Cause.SURVEYED) < SURVEY_RATE))
    whole = np.clip(np.floor(score), 0, most).astype(np.int64)
    band = np.digitize(whole / most, (0.55, 0.85))
    for place, occasion in enumerate(_BY_SCORE):
        rows = asked[band[asked] == place]
        said = {"text": words_for(occasion, result, rows), "language": languages_of(result, rows)}
        properties = {"survey": survey, "score": whole[rows], **said}
        sheet.add("survey_answer", rows, hours[rows], keys=survey, properties=properties, channel="email")


def _add_reviews(sheet: Sheet, result: WeekResult) -> None:
    """Reviews that a message asked for, and those that came unasked."""
    people, step = result.effects.population, result.before.step
    home = np.isin(step, (JourneyStep.RETURN_1, JourneyStep.LATE_1))
    unasked = home & (result.chance(Cause.WROTE) < REVIEW_RATE * people.sociability)
    asked = result.is_sold & (result.effects.sale_outcome[result.actions] == 2)  # noqa: PLR2004 - `reviewed`
    hours = np.where(asked, acted_hours(result), 20 + 100 * result.chance(Cause.TOLD_AT))
    late = np.isin(step, (JourneyStep.LATE_1, JourneyStep.LATE_2, JourneyStep.LATE_3))
    for of, occasion in ((~late, "review_well"), (late, "review_late")):
        rows = np.flatnonzero((unasked | asked) & of)
        score = np.where(of, 4 + (result.chance(Cause.SCORE) > 0.4), 3)[rows]  # noqa: PLR2004 - stars
        properties = {"stars": score, "text": words_for(occasion, result, rows)}
        sheet.add("review", rows, hours[rows], keys="review", properties=properties, channel="web")
