"""The uplift report of a training run: the new model's twin against chance, best single message and the champion."""

from dataclasses import dataclass

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError, ModelUnavailableError
from decisioning.policy import Policy
from decisioning.value_model import ValueModel
from features.models.bundle import ModelBundle, value_model
from features.models.fit import fit_model
from features.models.registry import MODEL_NAME, find_champion, registry_is_made
from features.models.schema_archive import known_schemas
from features.settings import Settings
from training.data.datasets import Dataset, learning_of
from training.judgement.from_log import TWIN, Trial, constant_of
from training.judgement.held_back import held_back
from training.judgement.uplift import UpliftReport, UpliftRivals, report_choices, report_kept
from training.registry.tracking import tracking, twin_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Incumbent:
    """The champion as it can be compared.

    Attributes:
        twin: Trained without the held-back customers; None where there is no champion, or it has no twin.
        note: Why a champion is left out; None where there is none or it is compared.
    """

    version: str | None = None
    twin: ValueModel | None = None
    note: str | None = None


def as_served(settings: Settings, catalogue: Catalogue, bundle: ModelBundle, version: str) -> ValueModel:
    """A model as a server would use it: what the catalogue lacks by now is missing to it.

    Raises:
        InvalidInputError: It does not fit the catalogue.
        ModelUnavailableError: Its booster is damaged.
    """
    return fit_model(value_model(bundle, version=version), Policy(catalogue), known_schemas(settings)).model


def find_incumbent(settings: Settings, catalogue: Catalogue) -> Incumbent:
    """The champion's twin.

    Raises:
        UnavailableError: The registry is away.
    """
    champion = find_champion(settings) if registry_is_made(settings) else None
    if champion is None:
        return Incumbent()
    left_out = f"champion {champion.version} is not in the uplift pictures: "
    learning, _ = learning_of(catalogue)
    try:
        with tracking(settings) as client:
            tags = client.get_model_version(MODEL_NAME, champion.version).tags
            twin = twin_of(client, champion.run_id)
        if (tags.get("measure"), tags.get("window_days")) != (learning.measure_id, f"{learning.window_days:g}"):
            return Incumbent(note=f"{left_out}it predicts another measure or window")
        if twin is None:
            return Incumbent(note=f"{left_out}it has no twin that did not learn from held-back customers")
        return Incumbent(version=champion.version, twin=as_served(settings, catalogue, twin, "champion"))
    except (InvalidInputError, ModelUnavailableError) as error:
        return Incumbent(note=f"{left_out}{error}")


def report_of_trial(dataset: Dataset, trial: Trial, catalogue: Catalogue, incumbent: Incumbent) -> UpliftReport:
    """Report on a trial, on the customers that its twin never learned from.

    Args:
        dataset: All decisions of the run.
        trial: From `training.judgement.from_log.try_out`.
        catalogue: Says what is learned.
        incumbent: From `find_incumbent`.
    """
    _, measure = learning_of(catalogue)
    part = dataset.take(held_back(dataset.decisions["customer_id"]))
    rivals = UpliftRivals(
        model=value_model(trial.twin, version=TWIN),
        incumbent=incumbent.twin,
        incumbent_version=incumbent.version,
        constant=constant_of(trial.twin, catalogue),
    )
    if trial.judgement.tries is None:
        return report_kept(part, trial.judgement.order, rivals, measure.unit, catalogue.currency)
    return report_choices(part, rivals, measure.unit, catalogue.currency)
