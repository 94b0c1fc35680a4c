"""Live weeks: the simulated customers on one side, the running server on the other, HTTP between them.

Each Monday a decision for every customer; then the week hour by hour, with the clock of server and demo moving: what
customers do and experience is reported as it happens, and every moment of a journey that calls for a message gets a
decision.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from decisioning.arrays import BoolArray
from decisioning.explanation.spoken_names import spoken
from features.clock import set_clock
from pipelines.demo.airline.customer_journey import Journeys
from pipelines.demo.airline.diary import Diary, PlayedWeek
from pipelines.demo.airline.live_table import Screen
from pipelines.demo.airline.scoreboard import Scoreboard
from pipelines.demo.airline.timeline import Moment, Timeline, events_of, timeline_of
from pipelines.demo.traffic import Item, Traffic
from pipelines.simulation.events.events import moments_of
from pipelines.simulation.events.frames import frames_of
from pipelines.simulation.policies.advantage import SilentFuture
from pipelines.simulation.world.week import WeekResult
from pipelines.simulation.world.world import World

WEEK = timedelta(days=7)
REPORTED_EVERY = timedelta(hours=6)
"""Where nothing asks for a decision, what happened is reported this often."""

NOT_LATER_THAN = timedelta(minutes=1)
"""How long before a Monday's decisions everything of the week before is reported: features know what came before."""

ASKED_AFTER = timedelta(minutes=1)
"""How long after a moment the engine is asked: operations report first."""

DAILY_WORD_AT = time(15, 0)
"""When customers with an open case hear from us again, each day (UTC)."""

MOST_DELAYS = 2
"""How often a moment is put off to the end of quiet hours."""

CAMPAIGN, JOURNEY = "weekly-campaign", "journey-moment"
CASE_OPENED, CASE_WAITING = "case_opened", "case_waiting"
RECOVER = "recover"


@dataclass(slots=True, kw_only=True)
class Rehearsal:
    """The live weeks of a world.

    Attributes:
        world: The world that the engine speaks to.
        twin: A copy where nobody is sent marketing.
        future: Tells what messages add to silence, in exact expectation.
        service_offers: Offers of the catalogue that no campaign sends: messages that are owed, and that help.
        marketing: Messages of the campaign, by key.
        waiting: Moments put off beyond the end of their week.
    """

    world: World
    twin: World
    future: SilentFuture
    traffic: Traffic
    clock_path: Path
    diary: Diary
    screen: Screen
    refresh_features: Callable[[datetime], None]
    service_offers: Sequence[str]
    journeys: Journeys = field(default_factory=Journeys)
    marketing: Counter[str] = field(default_factory=Counter[str])
    waiting: list[Moment] = field(default_factory=list[Moment])

    @property
    def board(self) -> Scoreboard:
        """What is counted."""
        return self.screen.board

    def catch_up(self, events: pl.DataFrame) -> None:
        """Report what happened lately to a server that has not heard it: its log came from an import.

        The log knows these events already and takes nothing twice; live state learns which cases are open.
        """
        recent = [item["body"] for item in reversed(events_of(events))]
        self.traffic.report("events", recent)

    def play_week(self, number: int) -> None:
        """Play one week, counted from 1 in this run."""
        monday, first = self.world.now, len(self.diary.weeks())
        self.board.week = number
        self._move_clock(monday)
        answered = self._answered()
        answers = self._campaign(monday)
        week = self._sent(answers, answered)
        expected = self.future.advantage(self.world.week, self.world.state, week.actions)
        result = self.world.run_week(week.actions, week.decision_ids, answered=answered)
        alone = self.twin.run_week(np.full_like(week.actions, -1), answered=answered)
        self._live_through(self._timeline(result), monday + WEEK - NOT_LATER_THAN)
        purse = self.board.purse
        purse.here += result.contribution_minor - result.cost_minor
        purse.alone += alone.contribution_minor - alone.cost_minor
        purse.expected += expected
        purse.is_held_out |= week.is_held_out
        self._move_clock(monday + WEEK)
        self._do("features are brought up to date")
        self.refresh_features(monday + WEEK)
        self.diary.note(first, week)
        self.screen.week_ends()

    def _campaign(self, monday: datetime) -> list[Item]:
        """Ask what to send to everybody this week."""
        key = f"campaign-{monday:%G-W%V}"
        wanted = {"touchpoint": CAMPAIGN, "dedupe_key": key, "exclude_offers": self.service_offers}
        asks = [{"customer_id": one, **wanted} for one in self._customer_ids()]
        answers: list[Item] = []

        def take(part: Sequence[Item]) -> None:
            for answer in part:
                self._saw(answer, "weekly campaign")
            answers.extend(part)
            self._do(f"weekly campaign: {len(answers):,} of {len(asks):,} customers")

        self.traffic.ask_all(asks, take)
        return answers

    def _sent(self, answers: Sequence[Item], answered: BoolArray) -> PlayedWeek:
        places = {message.key: place for place, message in enumerate(self.world.messages)}
        self.marketing.update(key for answer in answers if (key := _key_of(answer)))
        actions = [places.get(_key_of(answer), -1) for answer in answers]
        return PlayedWeek(
            actions=np.array(actions, dtype=np.int64),
            decision_ids=tuple(answer["decision_id"] for answer in answers),
            answered=answered,
            is_held_out=np.array([answer["held_out"] for answer in answers], dtype=np.bool_),
        )

    def _timeline(self, result: WeekResult) -> Timeline:
        """The week to come, with the moments that its new cases ask for and those that wait from the week before."""
        frames = frames_of(result)
        timeline = timeline_of(frames, moments_of(frames.events))
        for event in timeline.events:
            body = event["body"]
            if body["type"] in self._complaints():
                opened = Moment(at=event["at"], customer_id=body["customer_id"], name=CASE_OPENED)
                heapq.heappush(timeline.moments, opened)
        for moment in self.waiting:
            heapq.heappush(timeline.moments, moment)
        self.waiting = []
        return timeline

    def _live_through(self, timeline: Timeline, end: datetime) -> None:
        """Report and ask in order of time."""
        at = self.board.now
        while at < end:
            until = min(at + REPORTED_EVERY, end)
            while (moment := timeline.next_moment(until)) is not None:
                self._report(timeline, moment.at + ASKED_AFTER)
                self._ask(timeline, moment)
            self._report(timeline, until)
            self._do(f"{until:%A}")
            at = until
        self._report(timeline, end)
        self.waiting += timeline.moments

    def _report(self, timeline: Timeline, until: datetime) -> None:
        events, outcomes = timeline.happened(until)
        self._move_clock(max(until, self.board.now))
        if events:
            self.traffic.report("events", [event["body"] for event in events])
            self._saw_events(timeline, events)
        if outcomes:
            self.traffic.report("outcomes", [outcome["body"] for outcome in outcomes])
            self.board.outcomes.update(outcome["body"]["type"] for outcome in outcomes)
        self.journeys.saw_reports([*events, *outcomes])

    def _saw_events(self, timeline: Timeline, events: Sequence[Item]) -> None:
        care = self.board.care
        for event in events:
            customer_id, kind = event["body"]["customer_id"], event["body"]["type"]
            care.saw_event(customer_id, kind, event["at"])
            if care.opens_case(kind):
                self._wait_with(timeline, customer_id, event["at"])

    def _wait_with(self, timeline: Timeline, customer_id: str, since: datetime) -> None:
        """Speak again tomorrow to whoever has an open case."""
        tomorrow = datetime.combine(since.date() + timedelta(days=1), DAILY_WORD_AT, tzinfo=since.tzinfo)
        heapq.heappush(timeline.moments, Moment(at=tomorrow, customer_id=customer_id, name=CASE_WAITING))

    def _ask(self, timeline: Timeline, moment: Moment) -> None:
        """A decision at a moment of the journey; one that only waits for the morning is asked for again then."""
        if moment.name == CASE_WAITING:
            if not self.board.care.open_of(moment.customer_id):
                return
            self._wait_with(timeline, moment.customer_id, moment.at)
        about = {"touchpoint": JOURNEY, "context": {"moment": moment.name}}
        key = f"{moment.name}-{moment.at.isoformat()}"
        answer = self.traffic.ask({"customer_id": moment.customer_id, "dedupe_key": key, **about})
        if answer["reason"] == "DEFERRED" and moment.attempt < MOST_DELAYS:
            timeline.put_off(moment, datetime.fromisoformat(answer["retry_at"]))
        self._saw(answer, spoken(moment.name))
        if answer["selected"] is not None:
            self._delivered(answer)

    def _delivered(self, answer: Item) -> None:
        """Service messages arrive in this world; the apology among them is an answer to the customer's case."""
        body = {
            "message_id": f"{answer['decision_id']}-delivered",
            "decision_id": answer["decision_id"],
            "type": "delivered",
            "occurred_at": answer["decided_at"],
        }
        self.traffic.report("outcomes", [body])
        if answer["stage"] == RECOVER:
            self.board.care.saw_answer(answer["customer_id"], datetime.fromisoformat(answer["decided_at"]))

    def _saw(self, answer: Item, asked_by: str) -> None:
        self.board.saw_answer(answer)
        self.journeys.saw_decision(answer, asked_by)

    def _answered(self) -> BoolArray:
        """Everybody but those whose open case nobody has answered by now."""
        care = self.board.care
        return np.array([not care.is_waiting(one) for one in self._customer_ids()], dtype=np.bool_)

    def _move_clock(self, moment: datetime) -> None:
        set_clock(self.clock_path, moment)
        self.board.now = moment

    def _do(self, words: str) -> None:
        self.board.doing = words
        self.screen.refresh()

    def _complaints(self) -> frozenset[str]:
        """Events that open a case and are no moment of the journey themselves."""
        return self.board.care.policy.kinds["complaint"].opened_by

    def _customer_ids(self) -> Sequence[str]:
        return self.world.population.ids


def _key_of(answer: Item) -> str:
    selected = answer["selected"]
    return f"{selected['offer_id']}/{selected['channel']}/{selected['creative']}" if selected else ""
