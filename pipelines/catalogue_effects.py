"""What a catalogue will wait for in this home: said before it is put in force, and again when it is."""

from decisioning.catalogue import Catalogue
from decisioning.errors import InvalidInputError, UnavailableError
from decisioning.policy import Policy
from decisioning.value_model import ValueModel
from features.catalogue_needs import needs_of
from features.model_registry import fetch_champion
from features.schema_archive import built_schema, known_schemas
from features.settings import Settings


def waits_of(catalogue: Catalogue, settings: Settings) -> list[str]:
    """What has to be built or trained for a catalogue, and what happens until then, in sentences.

    Args:
        catalogue: In force, or to come.
        settings: The home, with the features and the model that it has now.
    """
    known, built, model = known_schemas(settings), built_schema(settings), _champion(settings)
    if model is None:
        return [need.words for need in needs_of(catalogue, built=built, fit=None)]
    from features.model_fit import fit_model

    try:
        fit = fit_model(model, Policy(catalogue), known)
    except InvalidInputError as error:
        unfit = f"{error}; until then decisions go by declared values and marketing is held"
        return [*(need.words for need in needs_of(catalogue, built=built, fit=None)), unfit]
    return [need.words for need in needs_of(catalogue, built=built, fit=fit)]


def _champion(settings: Settings) -> ValueModel | None:
    try:
        champion = fetch_champion(settings)
    except UnavailableError:
        return None
    from features.model_bundle import load_value_model  # brings LightGBM, which a home without a model does not need

    return load_value_model(champion.folder, version=champion.version)
