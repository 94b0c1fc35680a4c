"""One evaluation run: a folder of canonical tables in, a file of choices and a document out."""

from collections.abc import Sequence
from dataclasses import dataclass
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
from pipelines.audit.limited_evaluation import limited_document, with_planned
from pipelines.audit.wave_plan import WaveLimits, plan_waves
from training.data.datasets import messages_of
from training.data.net_worth import net_effects
from training.off_policy.evaluation import evaluate, judge, said
from training.off_policy.output import check_out, chosen_frame, evaluation_document, write_chosen
from training.off_policy.rewards import reward_of
from training.off_policy.segments import check_grouping


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationExtent:
    """What is valued besides free choice over all decisions.

    Attributes:
        by: What decisions are grouped by: see `segments.groups_of`.
        limits: Within which the policy is valued, too; None for free choice alone.
    """

    by: Sequence[str] = ()
    limits: WaveLimits | None = None

    def check(self, catalogue: Catalogue) -> None:
        """Refuse what a catalogue cannot be asked for.

        Raises:
            UnknownNameError: Nothing of that name to group by.
            InvalidInputError: Limits that say nothing.
        """
        check_grouping(self.by, catalogue)
        if self.limits is not None:
            self.limits.check(catalogue)


def evaluate_on_log(
    settings: Settings,
    log: Path,
    *,
    out: Path | None = None,
    reward: str | None = None,
    cap: float | None = None,
    version: str | None = None,
    extent: EvaluationExtent | None = None,
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
        extent: What is valued besides free choice over all decisions.
        on_progress: Told how far it is.

    Raises:
        UnknownNameError: No such reward, or nothing of that name to group by.
        InvalidInputError: Folder, file, reward, catalogue or model do not fit.
        InsufficientDataError: The log cannot say what the policy is worth.
        ModelUnavailableError: There is no usable model.
    """
    catalogue, extent = load_catalogue(settings.catalogue_path), extent or EvaluationExtent()
    wanted = reward_of(catalogue, reward, cap=cap)
    extent.check(catalogue)
    _check_places(log, out)
    copy = fetch_version(settings, version) if version else fetch_champion(settings)
    bundle = read_bundle(copy.folder)
    fit = fit_model(value_model(bundle, version=copy.version), Policy(catalogue), known_schemas(settings))
    check_promotable(fit)
    history, recorded = History.with_records(log)
    judged = judge(history, catalogue, fit.model, settings, recorded=recorded, on_progress=on_progress)
    kept, limits = said(judged), extent.limits
    planned = None if limits is None else plan_waves(kept, catalogue, limits, on_progress=on_progress)
    if out is not None:
        learns_money = catalogue.measures[bundle.measure_id].unit is Unit.MONEY
        frame = chosen_frame(judged, per_unit=to_minor(1.0, catalogue.currency) if learns_money else 1.0)
        write_chosen(frame if planned is None else with_planned(frame, kept, planned), out)
    constant = best_single_message(bundle, catalogue)
    evaluation = evaluate(judged, history, catalogue, reward=reward, cap=cap, constant=constant, by=extent.by)
    found = evaluation_document(evaluation) | {"constrained": None}
    if planned is not None and limits is not None:
        found["constrained"] = limited_document(kept, planned, history, catalogue, wanted, limits)
    about = {"model_version": copy.version, "catalogue_version": catalogue.version, "log": str(log)}
    return {**about, "out": str(out) if out else None, **found}


def _check_places(log: Path, out: Path | None) -> None:
    if not log.is_dir():
        raise InvalidInputError(f"--log must be a folder of canonical tables, got {log}, which is none")
    if out is not None:
        check_out(out)


def best_single_message(bundle: ModelBundle, catalogue: Catalogue) -> str | None:
    """The message that was worth most on average where the model learned, net of its contact; None where none was."""
    effects: dict[str, float] = dict(bundle.notes.get("average_effects") or bundle.coding.offsets)
    net = net_effects(effects, messages_of(catalogue), bundle.unit)
    return max(net, key=lambda key: net[key]) if net else None
