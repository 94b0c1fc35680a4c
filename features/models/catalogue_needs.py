"""What must still be built or trained for a catalogue: missing features, and a model made for another one.

A catalogue is put in force at once, so that a withdrawn offer, a new cap or a stricter rule never waits. What was made
for the catalogue before goes on serving it as far as both mean the same; this says what is missing until it is made
anew, and what happens meanwhile.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import message_parts
from decisioning.effects.message_coding import MessageCoding
from features.catalogue.reading.problems import listed
from features.computing.feature_schema import FeatureSchema
from features.computing.feature_set import feature_schema
from features.models.fit import ModelFit

_listed = partial(listed, most=6)
_BUILD = "run `nextbest features build` and `nextbest features materialise`"
_TRAIN = "run `nextbest model train` and `nextbest model promote`"


class Waits(StrEnum):
    """What has to be made anew."""

    FEATURES = "features"
    MODEL = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing that a catalogue waits for.

    Attributes:
        words: What is missing, what to run, and what happens until then.
    """

    waits_for: Waits
    words: str


def needs_of(
    catalogue: Catalogue, *, built: FeatureSchema | None, fit: ModelFit | None, is_unbuilt: bool = False
) -> tuple[Need, ...]:
    """What a catalogue waits for.

    Args:
        catalogue: In force, or to come.
        built: Schema of the features at hand; None where nobody knows.
        fit: How the model at hand fits; None without one.
        is_unbuilt: There are customers, and features were never built.
    """
    unbuilt = [f"no features were ever built here: {_BUILD}; until then no customer is known, and all is held"]
    features = _of_features(feature_schema(catalogue), built) if built is not None else unbuilt if is_unbuilt else []
    model = [] if fit is None else [*_of_columns(fit), *_of_messages(catalogue, fit), *_of_measure(fit)]
    return (
        *(Need(waits_for=Waits.FEATURES, words=words) for words in features),
        *(Need(waits_for=Waits.MODEL, words=words) for words in model),
    )


def _of_features(schema: FeatureSchema, built: FeatureSchema) -> Iterable[str]:
    if schema.fingerprint == built.fingerprint:
        return
    before = built.meaning_of
    new = [name for name, meaning in schema.meaning_of.items() if before.get(name) != meaning]
    until = f"rules over {_listed(new)} cannot be checked and let nothing pass" if new else "the rest is used as it is"
    yield f"the features at hand are those of an earlier catalogue: {_BUILD}; until then {until}"


def _of_columns(fit: ModelFit) -> Iterable[str]:
    version = fit.model.version
    if fit.unlearned:
        yield f"model {version} does not know {_listed(fit.unlearned)}: {_TRAIN}; until then it decides without"
    gone = [name for name in fit.lost if name not in fit.unlearned]
    if gone:
        yield (
            f"model {version} learned {_listed(gone)}, which the catalogue no longer has: {_TRAIN}; until then they are"
            " missing to it"
        )


def _of_messages(catalogue: Catalogue, fit: ModelFit) -> Iterable[str]:
    coding = fit.model.coding
    new = {
        "offers": sorted(_valued_offers(catalogue) - _offers_seen(coding)),
        "channels": sorted(catalogue.channels.keys() - set(coding.channels)),
        "kinds of offer": [kind for kind in catalogue.offer_kinds if kind not in coding.offer_kinds],
        "offer attributes": [
            one.name
            for one in catalogue.offer_attributes
            if one.name not in {known.name for known in coding.attributes}
        ],
    }
    for noun, names in new.items():
        if names:
            yield (
                f"model {fit.model.version} has not seen the {noun} {_listed(names)}: {_TRAIN} once the log tells of"
                " them; until then it values their messages by what it knows of others like them"
            )
    kept = {one.name for one in catalogue.offer_attributes}
    if gone := [one.name for one in coding.attributes if one.name not in kept]:
        yield (
            f"model {fit.model.version} learned the offer attributes {_listed(gone)}, which the catalogue no longer"
            f" has: {_TRAIN}; until then they are missing to it"
        )


def _valued_offers(catalogue: Catalogue) -> set[str]:
    """Offers that a model values; those of a class that goes first are sent in the order they are written in."""
    return {name for name, one in catalogue.offers.items() if not catalogue.classes[one.message_class].has_precedence}


def _of_measure(fit: ModelFit) -> Iterable[str]:
    if fit.learned_next == fit.model.measure_id and fit.is_redefined:
        yield (
            f"model {fit.model.version} learned {fit.model.measure_id} as it was defined before: {_TRAIN}; until then"
            " messages are valued by the former definition"
        )
    elif not fit.predicts_what_is_learned:
        yield (
            f"model {fit.model.version} predicts {fit.model.measure_id}, and the catalogue learns"
            f" {fit.learned_next or 'nothing'}: {_TRAIN}; until then messages are valued by {fit.model.measure_id}"
        )


def _offers_seen(coding: MessageCoding) -> frozenset[str]:
    return frozenset(coding.offer_offsets) | {one.offer_id for key in coding.offsets if (one := message_parts(key))}
