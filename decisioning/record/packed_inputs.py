"""Everything that a decision looked at, packed; see `compact`."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from decisioning.catalogue.care import Case
from decisioning.catalogue.contact_policy import Contact, Due, Response, Touch, touch_of_words, touch_words
from decisioning.catalogue.limits import Supply
from decisioning.customer import Consent, Customer, CustomerId
from decisioning.decision import ONE_PLACEMENT, Decision, Inputs, Placement, Request
from decisioning.live import LiveState, RecentEvent, StageMove
from decisioning.record.document import Record, facts_from_plain, facts_to_plain
from decisioning.record.packed_residuals import pack_residuals, read_residuals
from decisioning.record.packing import NoPlaceError, Packer, Unpacker
from decisioning.record.vocabulary import FeatureNames, NameList, Vocabulary
from decisioning.residuals import NO_RESIDUALS
from decisioning.scoring import FeatureVector

_OUR_ID = re.compile(r"dec_([0-9a-f]{34})(.*)", re.DOTALL)
_ID_BYTES = 17
_NO_NAMES = FeatureNames((), ())


def pack_inputs(packer: Packer, decision: Decision, vocabulary: Vocabulary) -> list[Record]:
    """Write the inputs of a decision; facts of request and customer are returned as plain values, to stay readable.

    Raises:
        NoPlaceError: Something that the packed form has no place for.
    """
    inputs = decision.inputs
    request, customer, values = inputs.request, inputs.customer, inputs.expected_values
    packer.flags(
        customer is not None,
        inputs.features is not None,
        values is not None,
        inputs.is_cold_start,
        bool(inputs.residuals),
    )
    _pack_request(packer, request, vocabulary)
    if customer is not None:
        _pack_customer(packer, customer, vocabulary)
    if inputs.features is not None:
        _pack_features(packer, inputs.features, vocabulary.features)
    if values is not None:
        packer.number(len(values))
        packer.column(values)
    packer.flag(inputs.model_version == decision.model_version)
    if inputs.model_version != decision.model_version:
        packer.word(inputs.model_version)
    packer.real(inputs.uniform)
    packer.texts(inputs.degraded)
    _pack_live(packer, inputs.live, vocabulary)
    _pack_supply(packer, inputs.supply, vocabulary)
    _pack_words(packer, inputs.unfit)
    packer.word(inputs.allocated)
    if inputs.residuals:
        pack_residuals(packer, inputs.residuals)
    return [facts_to_plain(request.context), {} if customer is None else facts_to_plain(customer.attributes)]


def read_inputs(
    packed: Unpacker, facts: Sequence[Record], row: Mapping[str, Any], decided_at: datetime, vocabulary: Vocabulary
) -> Inputs:
    """What `pack_inputs` wrote; the row says whose it is, where, when and with which model."""
    has_customer, has_features, has_values, is_cold_start, has_residuals = packed.flags(5)
    context, attributes = map(facts_from_plain, facts)
    request = _read_request(packed, row, context, vocabulary)
    customer = _read_customer(packed, row, attributes, vocabulary) if has_customer else None
    features = _read_features(packed, vocabulary.features) if has_features else None
    values = packed.column(packed.number()) if has_values else None
    is_the_rows = packed.flag()
    return Inputs(
        request=request,
        customer=customer,
        features=features,
        expected_values=values,
        model_version=row["model_version"] if is_the_rows else packed.word(),
        now=decided_at,
        uniform=packed.real(),
        degraded=packed.texts(),
        live=_read_live(packed, vocabulary),
        supply=_read_supply(packed, vocabulary),
        unfit=_read_words(packed),
        allocated=packed.word(),
        is_cold_start=is_cold_start,
        residuals=read_residuals(packed) if has_residuals else NO_RESIDUALS,
    )


def read_features(
    packed: Unpacker, facts: Sequence[Record], row: Mapping[str, Any], vocabulary: Vocabulary
) -> FeatureVector | None:
    """Of what `pack_inputs` wrote only the features; None where the decision looked at none."""
    has_customer, has_features, *_ = packed.flags(5)
    _read_request(packed, row, facts[0], vocabulary)
    if has_customer:
        _read_customer(packed, row, facts[1], vocabulary)
    return _read_features(packed, vocabulary.features) if has_features else None


def _pack_request(packer: Packer, request: Request, vocabulary: Vocabulary) -> None:
    packer.hexadecimal(request.request_key)
    _pack_channels(packer, request.channels, vocabulary)
    _pack_names(packer, sorted(request.excluded_offers), vocabulary.offers)
    packer.word(request.stage_id)
    placements = () if request.placements == ONE_PLACEMENT else request.placements
    packer.number(len(placements))
    for one in placements:
        packer.word(one.placement_id)
        _pack_channels(packer, one.channels, vocabulary)


def _read_request(packed: Unpacker, row: Mapping[str, Any], context: Record, vocabulary: Vocabulary) -> Request:
    return Request(
        customer_id=row["customer_id"],
        touchpoint_id=row["touchpoint"],
        request_key=packed.hexadecimal(),
        context=context,
        channels=_read_channels(packed, vocabulary),
        excluded_offers=frozenset(_read_names(packed, vocabulary.offers)),
        stage_id=packed.word(),
        placements=tuple(
            Placement(placement_id=packed.text(), channels=_read_channels(packed, vocabulary))
            for _ in range(packed.number())
        )
        or ONE_PLACEMENT,
    )


def _pack_channels(packer: Packer, channels: frozenset[str] | None, vocabulary: Vocabulary) -> None:
    """None, or some channels."""
    packer.flag(channels is not None)
    if channels is not None:
        _pack_names(packer, sorted(channels), vocabulary.channels)


def _read_channels(packed: Unpacker, vocabulary: Vocabulary) -> frozenset[str] | None:
    return frozenset(_read_names(packed, vocabulary.channels)) if packed.flag() else None


def _pack_names(packer: Packer, found: Sequence[str], names: NameList) -> None:
    """Some names, sorted or not: by place where the catalogue has them."""
    packer.number(len(found))
    places = [names.place_of.get(name) for name in found]
    if None not in places:
        packer.numbers([1 + place for place in places if place is not None])
        return
    for name in found:
        _pack_name(packer, name, names)


def _read_names(packed: Unpacker, names: NameList) -> list[str]:
    return [_read_name(packed, names) for _ in range(packed.number())]


def _pack_name(packer: Packer, name: str, names: NameList) -> None:
    place = names.place_of.get(name)
    if place is None:
        packer.number(0)
        packer.word(name)
    else:
        packer.number(1 + place)


def _read_name(packed: Unpacker, names: NameList) -> str:
    number = packed.number()
    return names.all[number - 1] if number else packed.text()


def _pack_customer(packer: Packer, customer: Customer, vocabulary: Vocabulary) -> None:
    packer.word(customer.time_zone)
    packer.word(customer.locale)
    _pack_names(packer, sorted(customer.reachable_channels), vocabulary.channels)
    _pack_consents(packer, customer.consents, vocabulary)
    _pack_names(packer, sorted(customer.unsubscribed_channels), vocabulary.channels)
    packer.word(customer.household_id)
    packer.word(customer.country)
    packer.texts(customer.plausible_zones)
    packer.texts(customer.locale_zones)
    packer.texts(sorted(customer.protections))
    packer.flag(customer.has_opted_out_of_profiling)


def _read_customer(packed: Unpacker, row: Mapping[str, Any], attributes: Record, vocabulary: Vocabulary) -> Customer:
    return Customer(
        customer_id=CustomerId(row["customer_id"]),
        attributes=attributes,
        time_zone=packed.word(),
        locale=packed.word(),
        reachable_channels=frozenset(_read_names(packed, vocabulary.channels)),
        consents=_read_consents(packed, vocabulary),
        unsubscribed_channels=frozenset(_read_names(packed, vocabulary.channels)),
        household_id=packed.word(),
        country=packed.word(),
        plausible_zones=packed.texts(),
        locale_zones=packed.texts(),
        protections=frozenset(packed.texts()),
        has_opted_out_of_profiling=packed.flag(),
    )


def _pack_consents(packer: Packer, consents: Sequence[Consent], vocabulary: Vocabulary) -> None:
    """Most answers of a customer were given at one moment in one place: each kind of answer is written once."""
    packer.number(len(consents))
    if not consents:
        return
    kinds: dict[tuple[bool, datetime | None, str | None], int] = {}
    numbers = [kinds.setdefault((one.is_granted, one.recorded_at, one.source), len(kinds)) for one in consents]
    packer.number(len(kinds))
    for is_granted, recorded_at, source in kinds:
        packer.flag(is_granted)
        packer.optional_moment(recorded_at)
        packer.word(source)
    places = [vocabulary.consent_of.get((one.channel_id, one.purpose)) for one in consents]
    packer.numbers([0 if place is None else 1 + place for place in places])
    for one, place in zip(consents, places, strict=True):
        if place is None:
            packer.word(one.channel_id)
            packer.word(one.purpose)
    packer.numbers(numbers)


def _read_consents(packed: Unpacker, vocabulary: Vocabulary) -> tuple[Consent, ...]:
    count = packed.number()
    if count == 0:
        return ()
    kinds = [(packed.flag(), packed.optional_moment(), packed.word()) for _ in range(packed.number())]
    places = packed.numbers(count)
    pairs = [vocabulary.consents[place - 1] if place else (packed.text(), packed.text()) for place in places]
    answers = [kinds[number] for number in packed.numbers(len(places))]
    return tuple(
        Consent(channel_id=channel, purpose=purpose, is_granted=is_granted, recorded_at=recorded_at, source=source)
        for (channel, purpose), (is_granted, recorded_at, source) in zip(pairs, answers, strict=True)
    )


def _pack_features(packer: Packer, features: FeatureVector, known: Mapping[str, FeatureNames]) -> None:
    names, ages = known.get(features.schema, _NO_NAMES), features.ages_seconds
    has_names, has_groups = names.features == features.names, names.groups == tuple(ages)
    packer.hexadecimal(features.schema)
    packer.flags(has_names, has_groups)
    if not has_names:
        packer.texts(features.names)
    packer.sparse(features.values)
    if not has_groups:
        packer.texts(tuple(ages))
    is_one = len(set(ages.values())) == 1
    packer.flag(is_one)
    for age in list(ages.values())[: 1 if is_one else None]:
        packer.flag(age is not None)
        if age is not None:
            packer.real(age)


def _read_features(packed: Unpacker, known: Mapping[str, FeatureNames]) -> FeatureVector:
    schema = packed.hexadecimal()
    has_names, has_groups = packed.flags(2)
    names = known[schema].features if has_names else packed.texts()
    values = packed.sparse(len(names))
    groups = known[schema].groups if has_groups else packed.texts()
    is_one = packed.flag()
    ages = [packed.real() if packed.flag() else None for _ in range(1 if is_one else len(groups))]
    return FeatureVector(
        names=names,
        values=values,
        ages_seconds=dict(zip(groups, ages * len(groups) if is_one else ages, strict=True)),
        schema=schema,
    )


def _pack_live(packer: Packer, live: LiveState, vocabulary: Vocabulary) -> None:
    has_opted_out = live.has_opted_out_of_profiling
    packer.flags(live.is_lost, has_opted_out is not None, bool(has_opted_out), live.stage is not None)
    packer.number(live.version)
    packer.number(live.household_version)
    _pack_contacts(packer, live.contacts, vocabulary)
    _pack_contacts(packer, live.household_contacts, vocabulary)
    packer.number(len(live.due))
    for due in live.due:
        packer.word(due.due_id)
        packer.moment(due.due_at)
        _pack_touch(packer, due.touch, vocabulary)
    packer.number(len(live.responses))
    for one in live.responses:
        packer.word(one.outcome)
        _pack_touch(packer, one.touch, vocabulary)
        packer.moment(one.at)
    packer.number(len(live.cases))
    for case in live.cases:
        _pack_case(packer, case)
    _pack_consents(packer, live.consents, vocabulary)
    packer.texts(tuple(live.protections))
    packer.flags(*live.protections.values())
    if live.stage is not None:
        packer.word(live.stage.stage_id)
        packer.moment(live.stage.at)
    packer.number(len(live.events))
    for event in live.events:
        packer.word(event.event_type)
        packer.moment(event.at)
    _pack_words(packer, live.kept)


def _read_live(packed: Unpacker, vocabulary: Vocabulary) -> LiveState:
    is_lost, knows_profiling, has_opted_out, has_stage = packed.flags(4)
    return LiveState(
        version=packed.number(),
        household_version=packed.number(),
        contacts=_read_contacts(packed, vocabulary),
        household_contacts=_read_contacts(packed, vocabulary),
        due=tuple(
            Due(due_id=packed.text(), due_at=packed.moment(), touch=_read_touch(packed, vocabulary))
            for _ in range(packed.number())
        ),
        responses=tuple(
            Response(outcome=packed.text(), touch=_read_touch(packed, vocabulary), at=packed.moment())
            for _ in range(packed.number())
        ),
        cases=tuple(_read_case(packed) for _ in range(packed.number())),
        consents=_read_consents(packed, vocabulary),
        protections=_read_switches(packed),
        has_opted_out_of_profiling=has_opted_out if knows_profiling else None,
        stage=StageMove(stage_id=packed.text(), at=packed.moment()) if has_stage else None,
        events=tuple(RecentEvent(event_type=packed.text(), at=packed.moment()) for _ in range(packed.number())),
        kept=_read_words(packed),
        is_lost=is_lost,
    )


def _read_switches(packed: Unpacker) -> dict[str, bool]:
    names = packed.texts()
    return dict(zip(names, packed.flags(len(names)), strict=True))


def _pack_contacts(packer: Packer, contacts: Sequence[Contact], vocabulary: Vocabulary) -> None:
    packer.number(len(contacts))
    for one in contacts:
        _pack_contact_id(packer, one.contact_id)
        packer.flags(one.is_confirmed, one.is_released, one.is_ghost, one.reserved_until is not None)
        _pack_touch(packer, one.touch, vocabulary)
        packer.moment(one.at)
        if one.reserved_until is not None:
            packer.moment(one.reserved_until)


def _read_contacts(packed: Unpacker, vocabulary: Vocabulary) -> tuple[Contact, ...]:
    return tuple(_read_contact(packed, vocabulary) for _ in range(packed.number()))


def _read_contact(packed: Unpacker, vocabulary: Vocabulary) -> Contact:
    contact_id = _read_contact_id(packed)
    is_confirmed, is_released, is_ghost, is_reserved = packed.flags(4)
    return Contact(
        contact_id=contact_id,
        touch=_read_touch(packed, vocabulary),
        at=packed.moment(),
        reserved_until=packed.moment() if is_reserved else None,
        is_confirmed=is_confirmed,
        is_released=is_released,
        is_ghost=is_ghost,
    )


def _pack_contact_id(packer: Packer, contact_id: str) -> None:
    """Ids that we made are hexadecimal but for what stands around that."""
    found = _OUR_ID.fullmatch(contact_id)
    packer.word(contact_id if found is None else None)
    if found is not None:
        packer.raw(bytes.fromhex(found[1]))
        packer.word(found[2] or None)


def _read_contact_id(packed: Unpacker) -> str:
    word = packed.word()
    return word if word is not None else f"dec_{packed.raw(_ID_BYTES).hex()}{packed.word() or ''}"


def _pack_touch(packer: Packer, touch: Touch, vocabulary: Vocabulary) -> None:
    place = vocabulary.touch_of.get(touch)
    packer.number(0 if place is None else 1 + place)
    if place is None:
        packer.texts(touch_words(touch))


def _read_touch(packed: Unpacker, vocabulary: Vocabulary) -> Touch:
    number = packed.number()
    return vocabulary.touches[number - 1] if number else touch_of_words(list(packed.texts()))


def _pack_case(packer: Packer, case: Case) -> None:
    for word in (case.case_id, case.kind, case.severity, case.channel_id):
        packer.word(word)
    packer.optional_moment(case.opened_at)
    packer.optional_moment(case.resolved_at)


def _read_case(packed: Unpacker) -> Case:
    return Case(
        case_id=packed.text(),
        kind=packed.text(),
        severity=packed.text(),
        channel_id=packed.word(),
        opened_at=packed.optional_moment(),
        resolved_at=packed.optional_moment(),
    )


def _pack_supply(packer: Packer, supply: Supply, vocabulary: Vocabulary) -> None:
    _pack_amounts(packer, supply.used)
    _pack_amounts(packer, supply.prices_minor)
    _pack_names(packer, tuple(supply.evidence), vocabulary.offers)
    for count in supply.evidence.values():
        packer.signed(count)


def _read_supply(packed: Unpacker, vocabulary: Vocabulary) -> Supply:
    return Supply(
        used=_read_amounts(packed),
        prices_minor=_read_amounts(packed),
        evidence={offer: packed.signed() for offer in _read_names(packed, vocabulary.offers)},
    )


def _pack_amounts(packer: Packer, amounts: Mapping[str, float]) -> None:
    packer.texts(tuple(amounts))
    for amount in amounts.values():
        if not isinstance(amount, float):
            raise NoPlaceError
        packer.real(amount)


def _read_amounts(packed: Unpacker) -> dict[str, float]:
    return {name: packed.real() for name in packed.texts()}


def _pack_words(packer: Packer, words: Mapping[str, str]) -> None:
    packer.texts(_flat(words.items()))


def _flat(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [word for pair in pairs for word in pair]


def _read_words(packed: Unpacker) -> dict[str, str]:
    words = packed.texts()
    return dict(zip(words[::2], words[1::2], strict=True))
