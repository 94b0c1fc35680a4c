"""Does a model fit a catalogue? The one check that training's promotion, a server's reload, batch and evaluation share.

A model reads the features it was trained on and describes messages by what they are, so it can go on deciding after
most changes of a catalogue: a new offer, channel or attribute it never saw is a missing value to it, and so is a
feature that the catalogue no longer has, or means otherwise. It fits while

- it shares features with the catalogue, compared by what they mean and not by their names;
- the unit of what it predicts is known, so that nobody takes a rate for money;
- it gives a finite value for every message of every touchpoint.

Whether it predicts what the catalogue learns next is told apart: a promotion asks for it, a model in use may go on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.measure import Unit
from decisioning.errors import InvalidInputError
from decisioning.policy import Policy
from decisioning.value_model import DesignLayout, MessageValues, ValueModel
from features.catalogue.version import measure_definition
from features.computing.feature_schema import FeatureSchema
from features.computing.feature_set import feature_schema


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFit:
    """A model made ready for a catalogue.

    Attributes:
        model: The model; features that the catalogue lacks or means otherwise are missing to it.
        trained: The model as it was trained, for the next catalogue.
        on_touchpoint: The model on the messages of each touchpoint.
        lost: Features that it learned and the catalogue lacks or means otherwise.
        unlearned: Features of the catalogue that it did not learn.
        learned_next: The measure that the catalogue learns; None where it learns nothing.
        definition_next: Fingerprint of what that measure counts; empty where it learns nothing.
    """

    model: ValueModel
    trained: ValueModel
    unit: Unit
    on_touchpoint: Mapping[str, MessageValues]
    lost: tuple[str, ...]
    unlearned: tuple[str, ...]
    learned_next: str | None
    definition_next: str = ""

    @property
    def predicts_what_is_learned(self) -> bool:
        """The model predicts what the catalogue learns, by its name and by what it counts."""
        return self.learned_next == self.model.measure_id and not self.is_redefined

    @property
    def is_redefined(self) -> bool:
        """The measure of this name counted something else when the model was trained, as far as it says."""
        return self.model.measure_definition not in {"", self.definition_next}


def fit_model(model: ValueModel, policy: Policy, known: Mapping[str, FeatureSchema] | None = None) -> ModelFit:
    """Make a model ready to score every touchpoint of a policy's catalogue.

    Schemas of earlier catalogues, by fingerprint, help with models that do not say what their features meant.

    Raises:
        InvalidInputError: It does not fit.
    """
    catalogue = policy.catalogue
    schema, learned = feature_schema(catalogue), _meanings(model, policy.catalogue, known or {})
    lost = _differing(learned, schema.meaning_of)
    if not learned or len(lost) == len(learned):
        raise InvalidInputError(
            f"model version {model.version} must share features with the catalogue in force (schema"
            f" {schema.fingerprint}), got none of those it was trained on (schema {model.feature_schema});"
            " run `nextbest features build` and train again"
        )
    ready = replace(model, layout=_without(model.layout, lost))
    return ModelFit(
        model=ready,
        trained=model,
        unit=_unit(model, catalogue),
        on_touchpoint=_trial(ready, policy),
        lost=lost,
        unlearned=_differing(schema.meaning_of, learned),
        learned_next=catalogue.learning.measure_id if catalogue.learning else None,
        definition_next=_definition_next(catalogue),
    )


def check_promotable(fit: ModelFit) -> None:
    """Refuse a model that predicts something else than the catalogue learns.

    Raises:
        InvalidInputError: It does.
    """
    if not fit.predicts_what_is_learned:
        of_old = " as it was defined before" if fit.learned_next == fit.model.measure_id else ""
        raise InvalidInputError(
            f"model version {fit.model.version} must predict what the catalogue in force learns"
            f" ({fit.learned_next or 'nothing'}), got {fit.model.measure_id}{of_old}; train again"
        )


def _definition_next(catalogue: Catalogue) -> str:
    measure = catalogue.measures.get(catalogue.learning.measure_id) if catalogue.learning else None
    return measure_definition(measure) if measure else ""


def _meanings(model: ValueModel, catalogue: Catalogue, known: Mapping[str, FeatureSchema]) -> Mapping[str, str]:
    """What the model's features meant in training; empty where nobody can tell."""
    if model.feature_meanings:
        return model.feature_meanings
    own = feature_schema(catalogue)
    schema = own if own.fingerprint == model.feature_schema else known.get(model.feature_schema)
    meaning_of = {} if schema is None else schema.meaning_of
    return {name: meaning_of[name] for name in model.layout.customer if name in meaning_of}


def _differing(some: Mapping[str, str], others: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for name, meaning in some.items() if others.get(name) != meaning)


def _without(layout: DesignLayout, lost: Iterable[str]) -> DesignLayout:
    """The same columns, with names for the lost ones that no feature has: matching by name leaves them missing."""
    gone = frozenset(lost)
    return replace(layout, customer=tuple(f"{name} (lost)" if name in gone else name for name in layout.customer))


def _unit(model: ValueModel, catalogue: Catalogue) -> Unit:
    """The model's own word counts before the catalogue's, which may have changed since."""
    declared = catalogue.measures.get(model.measure_id)
    unit = model.unit or (declared.unit if declared is not None else None)
    if unit is None:
        raise InvalidInputError(
            f"model version {model.version} must predict a measure of the catalogue in force"
            f" ({', '.join(sorted(catalogue.measures)) or 'none'}), got {model.measure_id}; train again"
        )
    return unit


def _trial(model: ValueModel, policy: Policy) -> dict[str, MessageValues]:
    """The model on every touchpoint, once it has shown that it can score them with nothing known."""
    found = {name: model.on(policy.candidates(name)) for name in policy.catalogue.touchpoints}
    nothing = np.full((1, len(model.layout.customer) + len(model.layout.context)), np.nan)
    for name, values in found.items():
        if not np.isfinite(values.of_columns(nothing)).all():
            raise InvalidInputError(
                f"model version {model.version} must give finite values, got others for {name}; train again"
            )
    return found
