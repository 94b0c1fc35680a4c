"""What must be built or trained for a catalogue in this home; reported by the check and by the import."""

from collections.abc import Iterator
from functools import partial

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.exploration import ExplorationKind
from decisioning.catalogue.message import MessageClass
from decisioning.errors import InvalidInputError, UnavailableError
from decisioning.policy import Policy
from decisioning.value_model import ValueModel
from features.models.catalogue_needs import needs_of
from features.models.registry import fetch_champion, is_cold_start
from features.models.schema_archive import built_schema, is_unbuilt, known_schemas
from features.settings import Settings


def waits_of(catalogue: Catalogue, settings: Settings) -> list[str]:
    """What has to be built or trained in a home for a catalogue, and what happens until then, in sentences."""
    known, model = known_schemas(settings), _champion(settings)
    needs = partial(needs_of, catalogue, built=built_schema(settings), is_unbuilt=is_unbuilt(settings))
    if model is None:
        return [need.words for need in needs(fit=None)]
    from features.models.fit import fit_model

    try:
        fit = fit_model(model, Policy(catalogue), known)
    except InvalidInputError as error:
        unfit = f"{error}; until then decisions go by declared values and marketing is held"
        return [*(need.words for need in needs(fit=None)), unfit]
    return [need.words for need in needs(fit=fit)]


def mode_of(catalogue: Catalogue, settings: Settings) -> str | None:
    """How a catalogue decides in a home that never had a model, in a sentence; None where there is, or was, a model."""
    if not is_cold_start(settings):
        return None
    warnings = [*_warnings(catalogue)]
    return (
        "cold start: no model was ever promoted, so declared values less contact cost and fatigue decide, with the"
        " catalogue's exploration; run `nextbest model train` once the log has outcomes"
        + "".join(f"; {one}" for one in warnings)
    )


def _warnings(catalogue: Catalogue) -> Iterator[str]:
    """Why a cold start would contact customers without limit, or a model could learn nothing from it."""
    exploration, contacts = catalogue.exploration, catalogue.contact_policy
    is_greedy = exploration.kind is ExplorationKind.EPSILON_GREEDY
    if is_greedy and not exploration.epsilon and not exploration.min_probability:
        yield "exploration leaves nothing to chance, so that no model can learn from it: declare an epsilon"
    silent = [
        one.offer_id for one in catalogue.offers.values()
        if one.message_class is MessageClass.MARKETING and one.value_minor <= 0
    ]  # fmt: skip
    if silent:
        yield f"only chance sends {', '.join(silent)}, which have no declared value"
    if not contacts.caps and contacts.pressure is None and contacts.fatigue is None:
        yield "no cap and no fatigue are declared, so every ask may send"


def _champion(settings: Settings) -> ValueModel | None:
    try:
        champion = fetch_champion(settings)
    except UnavailableError:
        return None
    from features.models.bundle import load_value_model  # brings LightGBM, which a home without a model does not need

    return load_value_model(champion.folder, version=champion.version)
