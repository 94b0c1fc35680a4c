"""Run docs/story.md: send its commands to a server and compare the answers with what it shows and promises."""

import re
import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import orjson
import pytest
import redis

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import MessageClass
from features.catalogue import load_catalogue
from features.clock import set_clock
from features.log.contracts import DECISIONS, EVENTS, OUTCOMES
from features.log.event_log import EventLog
from features.online.redis_keys import feature_key
from features.settings import Settings
from features.store.builder import build_features
from features.store.materialisation import materialise

PAGE = Path(__file__).parents[2] / "docs" / "story.md"
CUSTOMER = "ada"
DRAIN_SECONDS = 20.0

# What the airline promises Ada, stated apart from the catalogue, so that a rule cannot go missing unnoticed.
STAGES = {
    "dream-destinations": {"dream", "lapse"}, "favourite-deal": {"dream", "plan"}, "flash-fare": {"plan"},
    "fare-alert": {"plan"}, "extra-bag": {"book", "prepare"}, "seat-upgrade": {"book", "prepare"},
    "hotel-and-car": {"book"}, "lounge-pass": {"prepare"}, "status-challenge": {"return"}, "come-back": {"lapse"},
    "bring-a-friend": {"return"}, "tell-us": {"return"}, "help-choose": {"dream"},
}  # fmt: skip
AGREED = {"email", "push", "in_app", "web", "display"}
RESTING_AT_NIGHT = {"sms", "push", "call", "social_dm"}
TROUBLE = (datetime(2027, 1, 16, 22, tzinfo=UTC), datetime(2027, 1, 26, 17, tzinfo=UTC))
HOME = ZoneInfo("America/New_York")
BY_WORTH = {"MODEL", "EXPLORED"}


class BrokenStoryError(AssertionError):
    """The story did not go as the page says: the chapter and what was wrong."""

    def __init__(self, chapter: str, words: str) -> None:
        super().__init__(f"{chapter}: {words}")
        self.chapter, self.words = chapter, words


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A command on the page and the answer shown below it."""

    chapter: str
    words: tuple[str, ...]
    shown: Any = None


def lines_of(page: str) -> list[Line]:
    """The story's commands in order; an answer belongs to the command directly above it."""
    found: list[Line] = []
    for chapter in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        title = chapter.partition("\n")[0]
        for kind, text in re.findall(r"^```(console|json)\n(.*?)^```$", chapter, re.DOTALL | re.MULTILINE):
            if kind == "console":
                found += [Line(chapter=title, words=tuple(shlex.split(line))) for line in text.splitlines()]
            else:
                last = found.pop()
                found.append(Line(chapter=title, words=last.words, shown=orjson.loads(text)))
    return found


@dataclass(slots=True, kw_only=True)
class Narrator:
    """Does what the page's six shell functions do.

    Attributes:
        nights: Ada's packed features after each night; a repeated run restores them instead of computing them again.
        is_new: Whether to compute the nights and keep them in `nights`.
    """

    settings: Settings
    client: httpx.Client
    redis_url: str
    nights: dict[str, bytes]
    is_new: bool
    now: str = ""
    answer: dict[str, Any] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=lambda: {"events": 0, "outcomes": 0, "decisions": 0})

    def do(self, words: tuple[str, ...]) -> Any:
        """Run a command and return its answer, if it has one."""
        return getattr(self, words[0])(*words[1:])

    def at(self, moment: str) -> None:
        self.now = moment
        assert self.settings.rehearsal_clock is not None
        set_clock(self.settings.rehearsal_clock, datetime.fromisoformat(moment))

    def night(self, moment: str) -> None:
        self.at(moment)
        with redis.Redis.from_url(self.redis_url) as online:
            if not self.is_new:
                online.set(feature_key(CUSTOMER), self.nights[moment])
                return
            self._wait_for_the_log()
            catalogue = load_catalogue(self.settings.catalogue_path)
            build_features(self.settings, catalogue, datetime.fromisoformat(moment))
            materialise(self.settings, catalogue, self.redis_url)
            self.nights[moment] = online.get(feature_key(CUSTOMER))  # pyright: ignore[reportArgumentType]

    def tell(self, words: str) -> None:
        event = {"customer_id": CUSTOMER, "message_id": f"e-{self.sent['events']}", "occurred_at": self.now}
        self._post("events", {"events": [event | orjson.loads(f"{{{words}}}")]})

    def report(self, *outcomes: str) -> None:
        decision_id = self.answer["decision_id"]
        for what in outcomes:
            item = {"decision_id": decision_id, "message_id": f"{decision_id}-{what}", "type": what}
            self._post("outcomes", {"outcomes": [item | {"occurred_at": self.now}]})

    def ask(self, words: str) -> dict[str, Any]:
        self.answer = self._post(
            "decisions", {"customer_id": CUSTOMER, "dedupe_key": self.now} | orjson.loads(f"{{{words}}}")
        )
        return self.answer

    def why(self, offer: str) -> dict[str, Any]:
        return self._get(f"decisions/{self.answer['decision_id']}/why-not?offer={offer}")

    def known(self, names: str) -> dict[str, Any]:
        return self._get(f"customers/{CUSTOMER}/known?fields={names}")

    def record(self) -> dict[str, Any]:
        """The record of the last decision."""
        return self._get(f"decisions/{self.answer['decision_id']}")

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        answer = self.client.post(f"/v1/{path}", json=body)
        assert answer.status_code in (200, 202), answer.text
        assert not answer.json().get("rejected"), answer.text
        self.sent[path] += 1
        return answer.json()

    def _get(self, path: str) -> dict[str, Any]:
        answer = self.client.get(f"/v1/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _wait_for_the_log(self) -> None:
        """Wait until all events, decisions and outcomes have moved from the stream to the log."""
        log, ends_at = EventLog(self.settings.log_path), time.monotonic() + DRAIN_SECONDS
        for table in (EVENTS, OUTCOMES, DECISIONS):
            while log.read(table).filter(customer_id=CUSTOMER).height < self.sent[table.name]:
                assert time.monotonic() < ends_at, f"{table.name} stayed in the stream"
                time.sleep(0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Compares each answer with the page, and every decision with the promises."""

    catalogue: Catalogue

    def check(self, line: Line, narrator: Narrator) -> None:
        """Run a line of the story.

        Raises:
            BrokenStoryError: The answer differs, or a message was permitted that never may be.
        """
        answer = narrator.do(line.words)
        if line.words[0] == "ask":
            for wrong in self.broken_promises(narrator.record()):
                raise BrokenStoryError(line.chapter, wrong)
            self._check_marketing(line, answer)
        if line.shown is not None:
            shown = self._without_what_a_model_says(line.shown)
            difference = first_difference(shown, answer)
            if difference:
                raise BrokenStoryError(line.chapter, f"{' '.join(line.words)}: {difference}")

    def broken_promises(self, record: Mapping[str, Any]) -> Iterator[str]:
        """Messages that were permitted although they break a promise to Ada."""
        now = datetime.fromisoformat(record["decided_at"])
        is_night = not 8 <= now.astimezone(HOME).hour < 21
        for key in [one["message_key"] for one in record["evaluated"] if one["message_key"] != "silence"]:
            offer, channel, _ = key.split("/")
            message_class = self.catalogue.offers[offer].message_class
            if is_night and channel in RESTING_AT_NIGHT and message_class not in ("mandatory", "transactional"):
                yield f"{key} was permitted at night"
            if message_class is not MessageClass.MARKETING:
                continue
            if record["stage_id"] not in STAGES[offer]:
                yield f"{key} was permitted in stage {record['stage_id']}"
            if channel not in AGREED:
                yield f"{key} was permitted without consent"
            if TROUBLE[0] <= now < TROUBLE[1]:
                yield f"{key} was permitted before the trouble was over"

    def _check_marketing(self, line: Line, answer: Mapping[str, Any]) -> None:
        """Check that if the page shows a marketing message, one came: for this stage and chosen by value."""
        if not self._is_marketing(line.shown):
            return
        chosen = answer["selected"]
        if chosen is None or not self._is_marketing(answer) or answer["reason"] not in BY_WORTH:
            came = "silence" if chosen is None else f"{chosen['offer_id']}"
            hint = "; if it is silence by worth, look at what the champion learned" if chosen is None else ""
            raise BrokenStoryError(
                line.chapter, f"a marketing message must come, got {came} ({answer['reason']}){hint}"
            )

    def _is_marketing(self, answer: Any) -> bool:
        chosen = (answer or {}).get("selected")
        return bool(chosen) and self.catalogue.offers[chosen["offer_id"]].message_class is MessageClass.MARKETING

    def _without_what_a_model_says(self, shown: dict[str, Any]) -> dict[str, Any]:
        if not self._is_marketing(shown):
            return shown
        return {name: value for name, value in shown.items() if name not in ("selected", "reason")}


def first_difference(shown: Any, came: Any, path: str = "") -> str | None:
    """The first shown value that is missing from the answer; what the page leaves out may be anything."""
    if isinstance(shown, dict) and isinstance(came, dict):
        found = (first_difference(value, came.get(name), f"{path}/{name}") for name, value in shown.items())
        return next((one for one in found if one), None)
    if isinstance(shown, list) and isinstance(came, list):
        return (
            None
            if all(any(not first_difference(value, one) for one in came) for value in shown)
            else (f"{path} must hold {shown}, got {came}")
        )
    return None if shown == came else f"{path} must be {shown!r}, got {came!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Storyteller:
    """The page and how to run it.

    Attributes:
        lines: The commands in order.
        broken: The error raised if the story does not go as the page says.
    """

    lines: list[Line]
    broken: type[BrokenStoryError] = BrokenStoryError

    def tell(
        self,
        lines: list[Line],
        settings: Settings,
        client: httpx.Client,
        redis_url: str,
        nights: dict[str, bytes],
        *,
        is_new: bool,
    ) -> None:
        """Run lines on a server.

        Args:
            lines: All lines of the page, or some.
            settings: The server's home and clock.
            client: Reaches the server.
            redis_url: Its online store.
            nights: Ada's packed features after each night.
            is_new: Whether to compute the features and keep them in `nights`, or take them from there.

        Raises:
            BrokenStoryError: For the first line that went wrong.
        """
        reader = Reader(catalogue=load_catalogue(settings.catalogue_path))
        narrator = Narrator(settings=settings, client=client, redis_url=redis_url, nights=nights, is_new=is_new)
        for line in lines:
            reader.check(line, narrator)


@pytest.fixture(scope="session")
def storyteller() -> Storyteller:
    """Runs docs/story.md."""
    return Storyteller(lines=lines_of(PAGE.read_text(encoding="utf-8")))
