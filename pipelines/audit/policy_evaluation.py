"""One evaluation run: a folder of canonical tables in, a file of choices and a document out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.measure import Unit
from decisioning.errors import InvalidInputError
from decisioning.policy import Policy
from features.catalogue import load_catalogue
from features.catalogue.building.money import to_minor
from features.history import History
from features.models.bundle import ModelBundle, read_bundle, value_model
from features.models.fit import check_promotable, fit_model
from features.models.registry import fetch_champion, fetch_version
from features.models.schema_archive import known_schemas
from features.progress import OnStageProgress
from features.settings import Settings
from training.data.datasets import messages_of
from training.data.net_worth import net_effects
from training.off_policy.evaluation import evaluate, judge
from training.off_policy.output import check_out, chosen_frame, evaluation_document, write_chosen
from training.off_policy.rewards import reward_of
from training.off_policy.segments import check_grouping


def evaluate_on_log(
    settings: Settings,
    log: Path,
    *,
    out: Path | None = None,
    reward: str | None = None,
    cap: float | None = None,
    version: str | None = None,
    by: Sequence[str] = (),
    on_progress: OnStageProgress | None = None,
) -> dict[str, Any]:
    """Evaluate the policy in force, or another model version under it; gives `evaluation_document` and more.

    What can be known to be wrong is said before anything is computed. The file of choices is written as soon as they
    are made, so it is there also where the log cannot say what they are worth.

    Args:
        settings: Where catalogue and models are.
        log: Folder of canonical tables of customers that the model never saw.
        out: Parquet file of the policy's choices; None to write none.
        reward: Its name; None for what models learn.
        cap: Largest amount that one transaction counts for, in major units.
        version: Registered model version; None for the champion.
        by: What decisions are grouped by, too: see `segments.groups_of`.
        on_progress: Told how far it is.

    Raises:
        UnknownNameError: No such reward, or nothing of that name to group by.
        InvalidInputError: Folder, file, reward, catalogue or model do not fit.
        InsufficientDataError: The log cannot say what the policy is worth.
        ModelUnavailableError: There is no usable model.
    """
    catalogue = load_catalogue(settings.catalogue_path)
    reward_of(catalogue, reward, cap=cap)
    check_grouping(by, catalogue)
    if not log.is_dir():
        raise InvalidInputError(f"--log must be a folder of canonical tables, got {log}, which is none")
    if out is not None:
        check_out(out)
    copy = fetch_version(settings, version) if version else fetch_champion(settings)
    bundle = read_bundle(copy.folder)
    model = value_model(bundle, version=copy.version)
    fit = fit_model(model, Policy(catalogue), known_schemas(settings))
    check_promotable(fit)
    history = History.from_folder(log)
    judged = judge(history, catalogue, fit.model, settings, on_progress=on_progress)
    if out is not None:
        learns_money = catalogue.measures[model.measure_id].unit is Unit.MONEY
        write_chosen(chosen_frame(judged, per_unit=to_minor(1.0, catalogue.currency) if learns_money else 1.0), out)
    constant = best_single_message(bundle, catalogue)
    evaluation = evaluate(judged, history, catalogue, reward=reward, cap=cap, constant=constant, by=by)
    about = {"model_version": copy.version, "catalogue_version": catalogue.version, "log": str(log)}
    return {**about, "out": str(out) if out else None, **evaluation_document(evaluation)}


def best_single_message(bundle: ModelBundle, catalogue: Catalogue) -> str | None:
    """The message that was worth most on average where the model learned, net of its contact; None where none was."""
    effects: dict[str, float] = dict(bundle.notes.get("average_effects") or bundle.coding.offsets)
    net = net_effects(effects, messages_of(catalogue), bundle.unit)
    return max(net, key=lambda key: net[key]) if net else None
