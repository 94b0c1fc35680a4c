"""The inputs of all gates, computed once per decision."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from decisioning.catalogue.care import CareStanding, paused_classes
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.channel import Channel
from decisioning.catalogue.conversation import NOTHING_SEEN, Seen, seen_lately
from decisioning.catalogue.experiment import ArmPolicy
from decisioning.catalogue.journey import StageStanding
from decisioning.catalogue.limits import Supply
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import Layer
from decisioning.catalogue.quiet_hours import QuietPlan, zones_of
from decisioning.consent import Pair, given_consents, latest_answers
from decisioning.customer import Consent
from decisioning.decision import Inputs, Placement, Request
from decisioning.gates.arrival import arrives_at
from decisioning.gates.assignment import Assignment
from decisioning.gates.candidate import Candidate
from decisioning.gates.contact_ledger import ContactLedger
from decisioning.gates.contact_rules import ContactRules
from decisioning.local_time import find_zone
from decisioning.rules.fact_names import CUSTOMER_PREFIX
from decisioning.rules.predicate import Facts, Predicate, facts_of
from decisioning.value_class import value_class

UNRANKED_POLICIES = frozenset({ArmPolicy.RANDOM, ArmPolicy.RULES})
"""Arms that choose without a model's scores."""

FREED_LAYERS = frozenset({Layer.COMPATIBILITY, Layer.CONTACT_POLICY, Layer.TEST})
"""Layers that may answer otherwise when tests keep nothing back and the ghosts' book counts."""

SLATE_LAYERS = frozenset({Layer.REQUEST, Layer.COMPATIBILITY, Layer.CONTACT_POLICY, Layer.CAPACITY})
"""Layers that may answer otherwise when a slate holds one message more."""


class Ground:
    """What a catalogue says whoever a decision is about, worked out once.

    Attributes:
        catalogue: As declared.
        contact_rules: Its contact policy.
        quiet: Its quiet hours.
        avoided: Offers that others must not meet, or not follow too soon.
        facts: Names of the facts that its rules look at.
        words: As `Catalogue.customer_words`, as far as rules look at them.
    """

    __slots__ = ("avoided", "catalogue", "contact_rules", "facts", "quiet", "words")

    def __init__(self, catalogue: Catalogue) -> None:
        """Work out what can be, of a checked catalogue."""
        self.catalogue = catalogue
        self.contact_rules = ContactRules(catalogue.contact_policy, catalogue.classes)
        self.quiet = QuietPlan(catalogue.quiet_hours)
        self.avoided = _avoided(catalogue)
        self.facts = frozenset[str]().union(*map(facts_of, _rules(catalogue)))
        self.words = {
            name: words for name, words in catalogue.customer_words.items() if CUSTOMER_PREFIX + name in self.facts
        }


def _rules(catalogue: Catalogue) -> Iterator[Predicate]:
    """All rules that decisions look at."""
    for one in (*catalogue.offers.values(), *catalogue.creatives):
        yield from (one.eligibility, one.applicability, one.suitability)
    yield from (stage.entry for stage in catalogue.stages)
    yield from (lever.when for lever in catalogue.levers)


def _avoided(catalogue: Catalogue) -> frozenset[str]:
    offers = catalogue.offers.values()
    facing = {one.offer_id for one in offers if one.never_with}
    return frozenset(facing.union(*(one.never_with for one in offers), *(one.not_after for one in offers)))


class ChannelTimes:
    """When channels rest and messages arrive, each asked once per channel and moment."""

    __slots__ = ("_arrivals", "_country", "_quiet", "_rests", "_zones")

    @property
    def zone(self) -> ZoneInfo | None:
        """Where the customer lives, if that is known."""
        return find_zone(self._zones[0]) if len(self._zones) == 1 else None

    def __init__(self, ground: Ground, inputs: Inputs) -> None:
        """Take the zones that the customer may live in from the profile; without one they may be anywhere."""
        customer = inputs.customer
        self._quiet = ground.quiet
        self._zones = zones_of(customer, ground.catalogue.quiet_hours)
        self._country = None if customer is None else customer.country
        self._rests: dict[tuple[str, datetime], datetime | None] = {}
        self._arrivals: dict[tuple[str, datetime], datetime] = {}

    def quiet_until(self, channel_id: str, at: datetime) -> datetime | None:
        """The first moment at which the channel does not rest, counted from `at`; None where it is awake then."""
        key = (channel_id, at)
        if key not in self._rests:
            self._rests[key] = self._quiet.quiet_until(
                channel_id=channel_id, zones=self._zones, country=self._country, now=at
            )
        return self._rests[key]

    def arrival(self, channel: Channel, at: datetime) -> datetime:
        """When a message handed over at `at` arrives."""
        key = (channel.channel_id, at)
        if key not in self._arrivals:
            self._arrivals[key] = arrives_at(channel, at)
        return self._arrivals[key]


@value_class
class Situation:
    """All that gates may look at.

    Attributes:
        ground: What was declared, and what follows from it.
        inputs: What was read.
        facts: As `facts.gather_facts`, with `stage`; those that no rule looks at may be missing.
        stage_id: None where no stage matches or none can be told.
        is_stage_known: False where the stage depends on something that could not be read.
        is_profiled: False where the customer does not want to be profiled.
        channels: Channels that the caller and the placement take; None for all.
        slate: Offers of earlier positions.
        followed: Offers that one of those must not follow; within a slate nobody knows what is read first.
        reachable: Channels with a working address.
        unsubscribed: Channels the customer has left.
        answers: The answer in force per channel and purpose.
        granted: Those of them that are a yes.
        protections: Protections in force.
        care: Where service stands before sales.
        paused: Classes that it pauses.
        ledger: The contact book, counted.
        sent: When each offer in it that others must not meet, or not follow too soon, was last sent.
        seen: What the customer has seen lately.
        times: When channels rest and messages arrive.
        supply: What all customers share, with what earlier positions use.
        is_held_out: The customer is in the universal holdout.
        programmes: Programmes whose holdout they are in.
        is_silent_arm: An experiment arm keeps silent.
        is_rankable: A model's scores are there, or none are needed to choose.
    """

    ground: Ground
    inputs: Inputs
    facts: Facts
    stage_id: str | None
    is_stage_known: bool
    is_profiled: bool
    channels: frozenset[str] | None
    reachable: frozenset[str]
    unsubscribed: frozenset[str]
    answers: Mapping[Pair, Consent]
    granted: frozenset[Pair]
    protections: frozenset[str]
    care: CareStanding
    paused: frozenset[MessageClass]
    ledger: ContactLedger
    sent: Mapping[str, datetime]
    times: ChannelTimes
    supply: Supply
    is_held_out: bool
    programmes: frozenset[str]
    is_silent_arm: bool
    is_rankable: bool
    seen: Seen = NOTHING_SEEN
    slate: frozenset[str] = frozenset()
    followed: frozenset[str] = frozenset()

    @property
    def catalogue(self) -> Catalogue:
        """What was declared."""
        return self.ground.catalogue

    @property
    def request(self) -> Request:
        """What the caller asks."""
        return self.inputs.request

    @property
    def now(self) -> datetime:
        """The moment of the decision (aware)."""
        return self.inputs.now

    @property
    def unfit(self) -> Mapping[str, str]:
        """Messages whose expanded content breaks their channel."""
        return self.inputs.unfit


def situation_of(
    ground: Ground,
    inputs: Inputs,
    *,
    assignment: Assignment,
    place: StageStanding,
    facts: Facts,
    care: CareStanding,
    is_profiled: bool,
) -> Situation:
    """The situation of a decision's first placement.

    Args:
        ground: What is declared.
        inputs: What was read.
        assignment: Holdouts and experiment arms of the customer.
        place: Their journey stage.
        facts: As `facts.gather_facts`, with `stage`.
        care: Where service stands before sales.
        is_profiled: As `consent.is_profiled` says.

    Raises:
        InvalidInputError: A consent that is dated without an offset.
    """
    catalogue, customer = ground.catalogue, inputs.customer
    answers = latest_answers(given_consents(inputs), inputs.now)
    ledger = ledger_of(ground.contact_rules, inputs, ghosts=False)
    return Situation(
        ground=ground,
        inputs=inputs,
        facts=facts,
        stage_id=place.stage_id,
        is_stage_known=place.is_known,
        is_profiled=is_profiled,
        channels=asked_channels(inputs.request, inputs.request.placements[0]),
        reachable=customer.reachable_channels if customer is not None else frozenset(),
        unsubscribed=customer.unsubscribed_channels if customer is not None else frozenset(),
        answers=answers,
        granted=frozenset([pair for pair, answer in answers.items() if answer.is_granted]),
        protections=protections_in_force(inputs),
        care=care,
        paused=paused_classes(catalogue.care, care),
        ledger=ledger,
        sent=ledger.sent_offers(ground.avoided),
        seen=seen_lately(catalogue.conversation, inputs.live.responses, inputs.now),
        times=ChannelTimes(ground, inputs),
        supply=inputs.supply,
        is_held_out=assignment.is_held_out,
        programmes=assignment.programmes,
        is_silent_arm=ArmPolicy.SILENCE in assignment.policies,
        is_rankable=(
            inputs.expected_values is not None
            or inputs.is_cold_start
            or not is_profiled
            or not UNRANKED_POLICIES.isdisjoint(assignment.policies)
        ),
    )


def freed(situation: Situation) -> Situation:
    """The same with no test keeping anything back, and the ghosts' book in place of the real one: for a ghost.

    Screen it with `gates.screen_again` and `FREED_LAYERS`.
    """
    ledger = ledger_of(situation.ground.contact_rules, situation.inputs, ghosts=True)
    return replace(
        situation,
        is_held_out=False,
        programmes=frozenset(),
        is_silent_arm=False,
        ledger=ledger,
        sent=ledger.sent_offers(situation.ground.avoided),
    )


def in_slate(situation: Situation, chosen: Candidate | None, placement: Placement) -> Situation:
    """The same for the next placement of a slate, with what the position before it took.

    Screen it with `gates.screen_again` and `SLATE_LAYERS`.

    Args:
        situation: That of the position before.
        chosen: What it got; None for silence.
        placement: The next one.
    """
    channels = asked_channels(situation.request, placement)
    if chosen is None:
        return replace(situation, channels=channels)
    used = dict(situation.supply.used)
    for counter, amount in chosen.shared.amounts(situation.now).items():
        used[counter] = used.get(counter, 0.0) + amount
    return replace(
        situation,
        channels=channels,
        slate=situation.slate | {chosen.offer_id},
        followed=situation.followed.union(chosen.not_after),
        ledger=situation.ledger.with_contact(chosen.touch),
        supply=replace(situation.supply, used=used),
    )


def asked_channels(request: Request, placement: Placement) -> frozenset[str] | None:
    """Channels that both the request and the placement take; None for all."""
    if request.channels is None or placement.channels is None:
        return placement.channels if request.channels is None else request.channels
    return request.channels & placement.channels


def protections_in_force(inputs: Inputs) -> frozenset[str]:
    """Protections of the profile, with what was said since."""
    known = frozenset[str]() if inputs.customer is None else inputs.customer.protections
    said = inputs.live.protections
    if not said:
        return known
    return frozenset(name for name in known.union(said) if said.get(name, True))


def ledger_of(rules: ContactRules, inputs: Inputs, *, ghosts: bool) -> ContactLedger:
    """The customer's and the household's book of contacts, or of ghosts."""
    live = inputs.live
    return ContactLedger(
        rules,
        live.contacts,
        live.household_contacts,
        live.due,
        live.responses,
        inputs.now,
        ghosts=ghosts,
    )
