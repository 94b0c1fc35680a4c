"""A judge who trusts no ledger: counts again, from the log alone, whether contacts kept the rules.

Everything is worked out anew from canonical rows: who had agreed, what was open, how many contacts a window held, which
stage the events of a customer told. Nothing of the code that let the contacts pass is asked.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import orjson
import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import CapUnit
from decisioning.catalogue.limits import Limit, LimitMeasure, Period
from decisioning.catalogue.quiet_hours import QuietRule
from decisioning.errors import InvalidInputError
from decisioning.rules.predicate import FactValue, compile_predicate, facts_of
from features.computing.sources import Tables

RULES = ("consent", "reach", "stage", "case", "cap", "suppression", "quiet hours", "capacity")
"""What is counted again."""

_DAY_S = 86_400.0
_RECENCY = "_recency_days"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recount:
    """What a recount found.

    Attributes:
        violations: How many broke each rule; every rule is named.
    """

    contacts: int
    violations: Mapping[str, int]

    @property
    def total(self) -> int:
        """All violations."""
        return sum(self.violations.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One contact, with what rules look at."""

    decision_id: str
    customer_id: str
    at: datetime
    offer: str
    channel: str
    creative: str
    message_class: str
    goal: str
    department: str
    cost_minor: float

    def value(self, scope: str) -> str:
        """What of it a cap, a limit or a suppression of some scope counts."""
        names = {"class": self.message_class, "everything": "everything"}
        return names.get(scope) or str(getattr(self, scope))


@dataclass(slots=True, kw_only=True)
class _Life:
    """What the log says of one customer, each list by time."""

    zones: tuple[str, ...]
    country: str | None
    channels: frozenset[str]
    is_profiled: bool = True
    answers: dict[tuple[str, str], list[tuple[datetime, bool]]] = field(default_factory=lambda: defaultdict(list))
    events: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    opened: dict[tuple[str, str], list[tuple[datetime, str]]] = field(default_factory=lambda: defaultdict(list))
    resolved: dict[tuple[str, str], list[datetime]] = field(default_factory=lambda: defaultdict(list))
    outcomes: list[tuple[datetime, str, str]] = field(default_factory=list[tuple[datetime, str, str]])
    contacts: list[Sent] = field(default_factory=list[Sent])


def judge(catalogue: Catalogue, tables: Tables, *, since: datetime) -> Recount:
    """Count violations of the catalogue's rules among the contacts since a moment.

    Args:
        catalogue: The rules.
        tables: Whole canonical tables: what was before counts too.
        since: First moment whose contacts are looked at (aware).

    Raises:
        InvalidInputError: The catalogue has a rule that a recount from the log cannot check.
    """
    lives = _lives(catalogue, tables)
    sent = {one.decision_id: one for life in lives.values() for one in life.contacts}
    stages = _StageRules(catalogue)
    found: Counter[str] = Counter()
    looked_at: list[Sent] = []
    for life in lives.values():
        for place, one in enumerate(life.contacts):
            if one.at >= since:
                looked_at.append(one)
                found.update(_broken(catalogue, life, place, sent, stages))
    found["capacity"] = sum(_over(limit, sent.values(), since) for limit in catalogue.limits)
    return Recount(contacts=len(looked_at), violations={rule: found[rule] for rule in RULES})


def _broken(
    catalogue: Catalogue, life: _Life, place: int, sent: Mapping[str, Sent], stages: "_StageRules"
) -> Iterator[str]:
    """Rules that one marketing contact broke."""
    one = life.contacts[place]
    offer = catalogue.offers[one.offer]
    if offer.purpose is not None and not _has_agreed(life, one, offer.purpose):
        yield "consent"
    if one.channel not in life.channels:
        yield "reach"
    if offer.stages and stages.at(life, one.at) not in offer.stages:
        yield "stage"
    if one.message_class in catalogue.care.paused_classes and _in_care(catalogue, life, one.at):
        yield "case"
    if _passes_caps(catalogue, life, place):
        yield "cap"
    if _is_suppressed(catalogue, life, one, sent):
        yield "suppression"
    if any(_is_quiet(rule, life, one) for rule in catalogue.quiet_hours.rules):
        yield "quiet hours"


def _lives(catalogue: Catalogue, tables: Tables) -> dict[str, _Life]:
    lives = {row["customer_id"]: _life(catalogue, row) for row in tables.customers.sort("updated_at").to_dicts()}
    cases = {kind.kind: kind for kind in catalogue.care.kinds.values()}
    wanted = ("customer_id", "type", "occurred_at", "properties")
    for customer_id, kind, at, text in tables.events.sort("occurred_at").select(wanted).iter_rows():
        life, said = lives[customer_id], orjson.loads(text) if text else {}
        life.events[kind].append(at)
        for case in cases.values():
            if kind in case.opened_by:
                named = str(said.get("severity"))
                severity = named if named in case.cooldown_seconds else case.default_severity
                life.opened[case.kind, said.get("case_id") or case.kind].append((at, severity))
            if kind in case.resolved_by:
                life.resolved[case.kind, said.get("case_id") or case.kind].append(at)
        if kind in {"consent_given", "consent_withdrawn"}:
            _answer(catalogue, life, at, said, is_yes=kind == "consent_given")
    for row in tables.decisions.filter(pl.col("offer_id").is_not_null()).sort("decided_at").to_dicts():
        lives[row["customer_id"]].contacts.append(_sent(catalogue, row))
    _hear(catalogue, lives, tables)
    return lives


def _life(catalogue: Catalogue, row: Mapping[str, object]) -> _Life:
    zone, country = row["time_zone"], row["country"]
    life = _Life(
        zones=(str(zone),) if zone else catalogue.quiet_hours.unknown_zones,
        country=None if country is None else str(country),
        channels=frozenset(orjson.loads(str(row["channels"] or "[]"))),
    )
    for one in orjson.loads(str(row["consents"] or "[]")):
        at = datetime.fromisoformat(one["recorded_at"])
        life.answers[one["channel"], one["purpose"]].append((at, one["granted"]))
        if one["purpose"] == "profiling":
            life.is_profiled = one["granted"]
    return life


def _answer(catalogue: Catalogue, life: _Life, at: datetime, said: Mapping[str, str], *, is_yes: bool) -> None:
    channels = [said["channel"]] if said.get("channel") else sorted(catalogue.channels)
    purposes = [said["purpose"]] if said.get("purpose") else ["marketing", "service"]
    for channel in channels:
        for purpose in purposes:
            life.answers[channel, purpose].append((at, is_yes))


def _hear(catalogue: Catalogue, lives: Mapping[str, _Life], tables: Tables) -> None:
    """Take in outcomes: leaving a channel is a no to everything on it."""
    channels = dict(tables.decisions.select("decision_id", "channel").iter_rows())
    heard = {"unsubscribed", *(rule.after for rule in catalogue.contact_policy.suppressions)}
    wanted = tables.outcomes.filter(pl.col("type").is_in(sorted(heard))).sort("occurred_at")
    for customer_id, decision_id, kind, at in wanted.select(
        "customer_id", "decision_id", "type", "occurred_at"
    ).iter_rows():
        life = lives[customer_id]
        life.outcomes.append((at, kind, decision_id))
        if kind == "unsubscribed" and channels.get(decision_id) is not None:
            _answer(catalogue, life, at, {"channel": channels[decision_id]}, is_yes=False)


def _sent(catalogue: Catalogue, row: Mapping[str, object]) -> Sent:
    offer, channel = catalogue.offers[str(row["offer_id"])], catalogue.channels[str(row["channel"])]
    at = row["decided_at"]
    assert isinstance(at, datetime)  # noqa: S101 - a canonical table
    return Sent(
        decision_id=str(row["decision_id"]),
        customer_id=str(row["customer_id"]),
        at=at,
        offer=offer.offer_id,
        channel=channel.channel_id,
        creative=str(row["creative_id"]),
        message_class=offer.message_class.value,
        goal=offer.goal_id,
        department=catalogue.goals[offer.goal_id].department,
        cost_minor=channel.cost_minor,
    )


def _has_agreed(life: _Life, one: Sent, purpose: str) -> bool:
    before = [answer for answer in life.answers.get((one.channel, purpose), []) if answer[0] <= one.at]
    return bool(before) and max(before, key=lambda answer: (answer[0], not answer[1]))[1]


def _in_care(catalogue: Catalogue, life: _Life, at: datetime) -> bool:
    """A case is open, or was resolved so lately that the customer is left in peace."""
    for (kind_id, case_id), openings in life.opened.items():
        kind = catalogue.care.kinds[kind_id]
        before = [one for one in openings if one[0] <= at]
        if not before:
            continue
        opened_at, severity = before[-1]
        ends = [one for one in life.resolved.get((kind_id, case_id), []) if one <= at and one >= opened_at]
        if ends:
            if at < ends[-1] + timedelta(seconds=kind.cooldown_seconds.get(severity, 0.0)):
                return True
        elif kind.max_open_seconds is None or at < opened_at + timedelta(seconds=kind.max_open_seconds):
            return True
    return False


def _passes_caps(catalogue: Catalogue, life: _Life, place: int) -> bool:
    """With this contact, a window holds more than a cap allows."""
    one = life.contacts[place]
    for cap in catalogue.contact_policy.caps:
        if cap.unit is not CapUnit.CUSTOMER:
            raise InvalidInputError(f"cap {cap.cap_id} must be per customer to be counted again, got {cap.unit}")
        value = one.value(cap.scope.value)
        if cap.of is not None and value != cap.of:
            continue
        start = one.at - timedelta(seconds=cap.window_seconds)
        inside = [each for each in life.contacts[: place + 1] if each.at > start]
        if sum(each.value(cap.scope.value) == value for each in inside) > cap.limit:
            return True
    return False


def _is_suppressed(catalogue: Catalogue, life: _Life, one: Sent, sent: Mapping[str, Sent]) -> bool:
    for at, kind, decision_id in life.outcomes:
        answered = sent.get(decision_id)
        if at > one.at or answered is None:
            continue
        for rule in catalogue.contact_policy.suppressions:
            scope = rule.scope.value
            is_over = rule.cooldown_seconds is not None and one.at >= at + timedelta(seconds=rule.cooldown_seconds)
            if rule.after == kind and not is_over and one.value(scope) == answered.value(scope):
                return True
    return False


def _is_quiet(rule: QuietRule, life: _Life, one: Sent) -> bool:
    """The channel rests where the customer lives, or in any place where they may live."""
    if rule.only_holidays or rule.weekdays:
        raise InvalidInputError("quiet hours must be the same every day to be counted again, got weekdays or holidays")
    if rule.channels and one.channel not in rule.channels:
        return False
    if rule.countries and life.country is not None and life.country not in rule.countries:
        return False
    for zone in life.zones:
        local = one.at.astimezone(ZoneInfo(zone))
        minute = local.hour * 60 + local.minute
        is_over_night = rule.until_minute <= rule.from_minute
        after, before = minute >= rule.from_minute, minute < rule.until_minute
        if (after or before) if is_over_night else (after and before):
            return True
    return False


def _over(limit: Limit, contacts: Iterable[Sent], since: datetime) -> int:
    """Contacts of any period beyond what a limit has."""
    if limit.measure is not LimitMeasure.COUNT or limit.period not in {Period.WEEK, Period.DAY}:
        raise InvalidInputError(
            f"limit {limit.limit_id} must count messages per week or day to be counted again, got {limit.period}"
        )
    used: Counter[tuple[str, str]] = Counter()
    for one in contacts:
        value = one.value(limit.scope.value)
        if one.at >= since and (limit.of is None or value == limit.of):
            day = one.at.astimezone(ZoneInfo(limit.zone)).date()
            period = day.isoformat() if limit.period is Period.DAY else "-".join(map(str, day.isocalendar()[:2]))
            used[period, value] += 1
    return sum(max(0, count - int(limit.amount)) for count in used.values())


class _StageRules:
    """Stages from how long ago events were: all that rules of stages may ask for a recount to be possible."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._rules = [(stage.stage_id, compile_predicate(stage.entry)) for stage in catalogue.stages]
        self._facts = sorted({fact for stage in catalogue.stages for fact in facts_of(stage.entry)})
        unknown = [fact for fact in self._facts if not fact.endswith(_RECENCY) and not fact.startswith("live.")]
        if unknown:
            raise InvalidInputError(f"stages must ask for recencies to be counted again, got {', '.join(unknown)}")

    def at(self, life: _Life, now: datetime) -> str | None:
        """The stage at a moment, from what happened strictly before it; who is not profiled has none."""
        if not life.is_profiled:
            return None
        facts: dict[str, FactValue] = {
            fact: _recency(life.events.get(fact.removesuffix(_RECENCY), ()), now) for fact in self._facts
        }
        facts["live.open_case_count"] = 0  # marketing during a case is judged by the rule of care
        return next((stage for stage, rule in self._rules if rule(facts)), None)


def _recency(moments: Sequence[datetime], now: datetime) -> float | None:
    count = bisect_left(moments, now)
    return (now - moments[count - 1]).total_seconds() / _DAY_S if count else None
