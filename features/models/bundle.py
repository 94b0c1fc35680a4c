"""A model on disk: a booster as text and every other number as JSON, checked by digest before anything is believed.

Nothing is pickled, so loading a model runs no code of its own. `model.json` holds the SHA-256 of `booster.txt` and of
its own content; a file that was changed by hand, cut short or mixed with another version is refused. The digest is a
check against accidents and mixed files, and anybody who can write the folder can also recompute it: who may write
there is the file system's business.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from decisioning.catalogue.catalogue import Attribute, AttributeKind
from decisioning.catalogue.measure import Unit
from decisioning.effects.group_slopes import GroupSlopes
from decisioning.effects.linear_basis import LinearBasis
from decisioning.effects.message_coding import MessageCoding, MessageNumbers
from decisioning.errors import ModelUnavailableError
from decisioning.foresight.slots import Foresight
from decisioning.foresight.stages import StageCredit
from decisioning.record.foresight_document import foresight_from_plain, foresight_to_plain
from decisioning.value_model import Calibrator, DesignLayout, ValueModel
from features.models.learned import LearnedFunction

FORMAT = 1
BOOSTER_FILE = "booster.txt"
MODEL_FILE = "model.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBundle:
    """Everything that a value model is made of, without the code that runs it.

    Attributes:
        booster: LightGBM's own text form.
        feature_meanings: What each customer feature means, by name; see `FeatureSchema.meanings`. Empty in bundles of
            older releases.
        unit: Of the measure; None in bundles of older releases.
        measure_definition: Fingerprint of what the measure counted; empty in bundles of older releases.
        basis: What the coding's loadings apply to; None where it has none, as in bundles of older releases.
        foresight: What lies ahead, for decisions; None where nothing is known of it.
        credit: What messages add beyond the window; None where nothing is believed of it.
        group_slopes: How much of what is personal is believed, by groups of customers; None for all of it everywhere.
        notes: Whatever else training wants kept beside the model: the best single message, dataset digest, dates.
    """

    booster: str
    layout: DesignLayout
    coding: MessageCoding
    calibrator: Calibrator
    feature_schema: str
    catalogue_version: str
    measure_id: str
    window_days: float
    notes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    feature_meanings: Mapping[str, str] = field(default_factory=dict[str, str])
    unit: Unit | None = None
    basis: LinearBasis | None = None
    measure_definition: str = ""
    foresight: Foresight | None = None
    credit: StageCredit | None = None
    group_slopes: GroupSlopes | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over the booster and every number; the same model has the same digest on any machine."""
        return str(_document(self)["digest"])


def write_bundle(bundle: ModelBundle, folder: Path) -> str:
    """Write a bundle as `booster.txt` and `model.json` over files of these names; gives its digest."""
    document = _document(bundle)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / BOOSTER_FILE).write_text(bundle.booster, encoding="utf-8", newline="")
    (folder / MODEL_FILE).write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
    return str(document["digest"])


def read_bundle(folder: Path) -> ModelBundle:
    """Read a bundle and check it.

    Raises:
        ModelUnavailableError: A file is missing, unreadable, of another format, or not what its digest says.
    """
    try:
        booster = (folder / BOOSTER_FILE).read_bytes()
        document: dict[str, Any] = orjson.loads((folder / MODEL_FILE).read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ModelUnavailableError(
            f"model folder must hold a readable {BOOSTER_FILE} and {MODEL_FILE}, got {folder} ({type(error).__name__});"
            " fetch the model again"
        ) from error
    _check_format(document, folder)
    _check_digests(document, booster, folder)
    try:
        return _bundle(booster.decode(), document)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelUnavailableError(
            f"{MODEL_FILE} must hold every field of format {FORMAT}, got a problem with {error}; train the model again"
        ) from error


def load_value_model(folder: Path, *, version: str | None = None) -> ValueModel:
    """Load a model for scoring, on one thread; without a version it is named by the first twelve signs of its digest.

    Raises:
        ModelUnavailableError: As `read_bundle`, or LightGBM does not take the booster.
    """
    bundle = read_bundle(folder)
    return value_model(bundle, version=version or bundle.digest[:12], folder=folder)


def value_model(bundle: ModelBundle, *, version: str, folder: Path | None = None) -> ValueModel:
    """The scoring form of a bundle.

    Args:
        bundle: The bundle.
        version: Version that decision records name.
        folder: Where it lies, and where the check of its fast form is kept; None where it lies nowhere.

    Raises:
        ModelUnavailableError: LightGBM does not take the booster, or it was trained on other columns.
    """
    return ValueModel(
        version=version,
        feature_schema=bundle.feature_schema,
        measure_id=bundle.measure_id,
        measure_definition=bundle.measure_definition,
        window_days=bundle.window_days,
        layout=bundle.layout,
        coding=bundle.coding,
        calibrator=bundle.calibrator,
        feature_meanings=bundle.feature_meanings,
        unit=bundle.unit,
        basis=bundle.basis,
        foresight=bundle.foresight,
        credit=bundle.credit,
        group_slopes=bundle.group_slopes,
        predict=LearnedFunction(bundle.booster, bundle.layout, folder),
    )


def _document(bundle: ModelBundle) -> dict[str, Any]:
    content = {
        "format": FORMAT,
        "booster_sha256": hashlib.sha256(bundle.booster.encode()).hexdigest(),
        "layout": _plain(bundle.layout),
        "coding": _plain_coding(bundle),
        "calibrator": _plain(bundle.calibrator),
        "feature_schema": bundle.feature_schema,
        "catalogue_version": bundle.catalogue_version,
        "measure": bundle.measure_id,
        "window_days": bundle.window_days,
        "notes": dict(bundle.notes),
    }
    if bundle.feature_meanings:  # what older releases did not write must not change the digest of their models
        content["feature_meanings"] = dict(bundle.feature_meanings)
    if bundle.unit is not None:
        content["unit"] = str(bundle.unit)
    if bundle.measure_definition:
        content["measure_definition"] = bundle.measure_definition
    if bundle.foresight is not None:
        content["foresight"] = foresight_to_plain(bundle.foresight)
    if bundle.credit is not None:
        credit = bundle.credit
        content["stage_credit"] = {"feature": credit.feature, "by_offer": {k: [*v] for k, v in credit.by_offer.items()}}
    if bundle.group_slopes is not None:
        content["group_slopes"] = {name: [*slopes] for name, slopes in bundle.group_slopes.by_feature.items()}
    if bundle.basis is not None:
        content["linear_basis"] = _plain(bundle.basis)
    return {**content, "digest": _content_digest(content)}


def _plain_coding(bundle: ModelBundle) -> dict[str, Any]:
    coding = _plain(bundle.coding)
    if bundle.basis is None:
        del coding["loadings"]
    if bundle.coding.averages is None:
        del coding["averages"]
    return coding


def _content_digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _plain(part: DesignLayout | MessageCoding | Calibrator | LinearBasis) -> dict[str, Any]:
    """As JSON has it; missing numbers of a matrix are null."""
    return orjson.loads(
        orjson.dumps(part, default=lambda one: one.tolist() if isinstance(one, np.ndarray) else dict(one))
    )


def _check_format(document: Mapping[str, Any], folder: Path) -> None:
    found = document.get("format") if isinstance(document, dict) else type(document).__name__
    if found != FORMAT:
        raise ModelUnavailableError(f"model in {folder} must be of format {FORMAT}, got {found!r}; train it again")


def _check_digests(document: Mapping[str, Any], booster: bytes, folder: Path) -> None:
    content = {name: value for name, value in document.items() if name != "digest"}
    for file, stated, found in (
        (BOOSTER_FILE, document.get("booster_sha256"), hashlib.sha256(booster).hexdigest()),
        (MODEL_FILE, document.get("digest"), _content_digest(content)),
    ):
        if stated != found:
            raise ModelUnavailableError(
                f"{file} in {folder} must be the file that was written (SHA-256 {str(stated)[:12]}), got {found[:12]};"
                " it was changed or cut short: fetch the model again"
            )


def _bundle(booster: str, document: Mapping[str, Any]) -> ModelBundle:
    layout = DesignLayout(**{part: tuple(names) for part, names in document["layout"].items()})
    return ModelBundle(
        booster=booster,
        layout=layout,
        coding=_coding(document["coding"]),
        calibrator=_calibrator(document["calibrator"], len(layout.message)),
        feature_schema=document["feature_schema"],
        catalogue_version=document["catalogue_version"],
        measure_id=document["measure"],
        measure_definition=document.get("measure_definition", ""),
        window_days=float(document["window_days"]),
        notes=document["notes"],
        feature_meanings=document.get("feature_meanings", {}),
        unit=Unit(document["unit"]) if "unit" in document else None,
        basis=_basis(document.get("linear_basis")),
        foresight=foresight_from_plain(document["foresight"]) if "foresight" in document else None,
        credit=_credit(document.get("stage_credit")),
        group_slopes=_group_slopes(document.get("group_slopes")),
    )


def _coding(document: Mapping[str, Any]) -> MessageCoding:
    """Numbers stay as they are written, so that the digest does."""
    attributes = tuple(
        Attribute(name=one["name"], kind=AttributeKind(one["kind"]), values=tuple(one["values"]))
        for one in document["attributes"]
    )
    words = {name: tuple(document[name]) for name in ("offer_kinds", "channels")}
    told = {
        "attributes": attributes,
        "number_ranges": {name: tuple(numbers) for name, numbers in document["number_ranges"].items()},
        "loadings": tuple(MessageNumbers(**numbers) for numbers in document.get("loadings", ())),
        "averages": MessageNumbers(**document["averages"]) if "averages" in document else None,
    }
    return MessageCoding(**{**document, **words, **told})


def _basis(document: Mapping[str, Any] | None) -> LinearBasis | None:
    if document is None:
        return None
    return LinearBasis(**{name: np.array(numbers, dtype=np.float64) for name, numbers in document.items()})


def _credit(document: Mapping[str, Any] | None) -> StageCredit | None:
    if document is None:
        return None
    rows = {offer: tuple(map(float, row)) for offer, row in document["by_offer"].items()}
    return StageCredit(feature=document["feature"], by_offer=rows)


def _group_slopes(document: Mapping[str, Any] | None) -> GroupSlopes | None:
    if document is None:
        return None
    return GroupSlopes(by_feature={name: tuple(map(float, slopes)) for name, slopes in document.items()})


def _calibrator(document: Mapping[str, Any], width: int) -> Calibrator:
    rows = [[np.nan if one is None else float(one) for one in row] for row in document["reference"]]
    numbers = {name: float(number) for name, number in document.items() if not name.startswith("reference")}
    reference = np.array(rows, dtype=np.float64).reshape(len(rows), width)
    weights = np.array(document["reference_weights"], dtype=np.float64)
    return Calibrator(**numbers, reference=reference, reference_weights=weights)
