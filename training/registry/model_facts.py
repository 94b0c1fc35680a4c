"""All that is known of a registered version: what it learned from, with which settings, and what that is worth."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import ValidationError

from decisioning.errors import NoModelError
from features.models.bundle import ModelBundle, read_bundle
from features.models.registry import MODEL_NAME, fetch_version, find_champion, registry_is_made
from features.settings import Settings
from training.foresight.learning import hours_of, rooms_of, stages_of
from training.judgement.uplift import UPLIFT_REPORTS, UpliftReport
from training.judgement.uplift_pictures import REPORT_FILE
from training.models.contest import CONTEST_NOTE
from training.models.group_slopes import GROUPS_NOTE
from training.registry.run_metrics import ORDER
from training.registry.tracking import TABLES_FOLDER, tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

NO_BETTER = "orders customers no better than chance: where messages are limited, it does not know whom to contact first"
BETTER = "orders customers better than chance"
UNJUDGED = "nobody knows whether it orders customers better than chance: it was not judged on held-back customers"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageEffect:
    """The average effect of a message over silence, in the measure's unit.

    Attributes:
        estimated: As the log has it; None where the run does not say.
        believed: Shrunk, as decisions use it; None where the run does not say.
    """

    message_key: str
    estimated: float | None
    believed: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """A registered version.

    Attributes:
        data: What it learned from: decisions, customers, dates, digest.
        features: Features in the order of the model, each with its share of the booster's gain.
        settings: Parameters of the run.
        figures: Metrics of the run by name.
        effects: By message, largest believed effect first.
        groups: How much of what is personal about effects is believed, by journey stage and segment.
        contest: Learners that took part and what came of it; empty where only the usual one did.
        stages: What it is worth to stand at each stage of the journey; empty where the run did not ask.
        rooms: What came of pricing the room under caps, by cap.
        hours: What came of asking whether hours matter; empty where nothing may wait.
        uplift: On held-back customers; None where it was not judged, or by an earlier release.
        beats_chance: Whether it orders customers better than chance; None where nobody knows.
        order: The same as a sentence.
    """

    version: str
    is_champion: bool
    registered_at: str
    run_id: str
    measure: str
    window_days: float
    data: Mapping[str, str]
    features: Mapping[str, float]
    settings: Mapping[str, str]
    figures: Mapping[str, float]
    effects: tuple[MessageEffect, ...]
    groups: tuple[Mapping[str, Any], ...]
    contest: tuple[Mapping[str, Any], ...]
    stages: Mapping[str, Any]
    rooms: tuple[Mapping[str, Any], ...]
    hours: Mapping[str, Any]
    uplift: UpliftReport | None
    beats_chance: bool | None
    order: str


def show_model(settings: Settings, version: str | None = None) -> ModelFacts:
    """Read a version; default the champion.

    Raises:
        NoModelError: There is no such champion, or nothing is registered.
        ModelUnavailableError: The version's files are damaged.
        UnknownNameError: No such version.
        UnavailableError: The registry is away.
    """
    champion = find_champion(settings) if registry_is_made(settings) else None
    if version is None and champion is None:
        raise NoModelError(
            "registry must have a champion to show, got none; name a version of `nextbest model list`, or promote one"
        )
    wanted = version if version is not None else champion.version if champion else ""
    bundle = read_bundle(fetch_version(settings, wanted).folder)
    with tracking(settings) as client:
        found = client.get_model_version(MODEL_NAME, wanted)
        run = client.get_run(found.run_id or "")
        uplift = _uplift(client, run)
    beats_chance = _beats_chance(uplift, run.data.metrics)
    return ModelFacts(
        version=wanted,
        is_champion=champion is not None and champion.version == wanted,
        registered_at=datetime.fromtimestamp((found.creation_timestamp or 0) / 1000, UTC).isoformat(timespec="seconds"),
        run_id=found.run_id or "",
        measure=bundle.measure_id,
        window_days=bundle.window_days,
        data=_data(run, bundle),
        features=_features(bundle),
        settings=dict(run.data.params),
        figures=dict(run.data.metrics),
        effects=_effects(run.data.metrics, bundle),
        groups=tuple(bundle.notes.get(GROUPS_NOTE) or ()),
        contest=tuple(bundle.notes.get(CONTEST_NOTE) or ()),
        stages=stages_of(bundle),
        rooms=rooms_of(bundle),
        hours=hours_of(bundle),
        uplift=uplift,
        beats_chance=beats_chance,
        order={True: BETTER, False: NO_BETTER, None: UNJUDGED}[beats_chance],
    )


def _uplift(client: "MlflowClient", run: "Run") -> UpliftReport | None:
    path = f"{TABLES_FOLDER}/{REPORT_FILE}"
    if not any(one.path == path for one in client.list_artifacts(run.info.run_id, TABLES_FOLDER)):
        return None
    with TemporaryDirectory(prefix="nextbest-uplift-") as scratch:
        payload = Path(client.download_artifacts(run.info.run_id, path, scratch)).read_bytes()
    try:
        return UPLIFT_REPORTS.validate_json(payload)
    except ValidationError:  # of another release
        return None


def _beats_chance(uplift: UpliftReport | None, metrics: Mapping[str, float]) -> bool | None:
    if uplift is not None:
        return uplift.model.beats_chance
    lower = metrics.get(f"{ORDER}_lower")
    return None if lower is None else lower > 0


def _data(run: "Run", bundle: ModelBundle) -> dict[str, str]:
    told: dict[str, str] = {}
    for one in run.inputs.dataset_inputs if run.inputs else ():
        tags = orjson.loads(one.dataset.source).get("tags") or {}
        told |= {"name": str(one.dataset.name), **{name: str(value) for name, value in tags.items()}}
    return {
        **told,
        "digest": str(bundle.notes.get("dataset_digest", "")),
        "is_randomised": str(bundle.notes.get("is_randomised", "")).lower(),
        "catalogue_version": bundle.catalogue_version,
        **({"measure_definition": bundle.measure_definition} if bundle.measure_definition else {}),
        "feature_schema": bundle.feature_schema,
    }


def _features(bundle: ModelBundle) -> dict[str, float]:
    import lightgbm

    gains = lightgbm.Booster(model_str=bundle.booster).feature_importance("gain").tolist()
    by_name = dict(zip(bundle.layout.columns, gains, strict=False))
    whole = sum(gains) or 1.0
    return {name: by_name.get(name, 0.0) / whole for name in bundle.layout.customer}


def _effects(metrics: Mapping[str, float], bundle: ModelBundle) -> tuple[MessageEffect, ...]:
    believed: Mapping[str, float] = bundle.notes.get("average_effects") or {}
    found = [
        MessageEffect(message_key=key, estimated=metrics.get(f"effect.{key.replace('/', '.')}"), believed=value)
        for key, value in believed.items()
    ]
    return tuple(sorted(found, key=lambda one: -(one.believed or 0.0)))
