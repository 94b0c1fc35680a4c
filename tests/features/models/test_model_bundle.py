"""Models on disk: what is written is read back, and a modified file is refused."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import lightgbm
import numpy as np
import orjson
import pytest

from decisioning.catalogue.catalogue import Attribute, AttributeKind, Catalogue
from decisioning.catalogue.message import Message
from decisioning.effects.group_slopes import GroupSlopes
from decisioning.effects.linear_basis import LinearBasis
from decisioning.effects.message_coding import MessageCoding, MessageNumbers
from decisioning.errors import ModelUnavailableError
from decisioning.foresight.slots import Foresight, SlotPrices
from decisioning.foresight.stages import StageCredit
from decisioning.scoring import FeatureVector
from decisioning.value_model import Calibrator, DesignLayout
from features.models.bundle import ModelBundle, load_value_model, read_bundle, value_model, write_bundle

NOW = datetime(2026, 11, 21, 18, 30, tzinfo=UTC)
CODING = MessageCoding(
    offer_kinds=("points", "gift"),
    channels=("email", "push"),
    attributes=(Attribute(name="difficulty", kind=AttributeKind.NUMBER),),
    offsets={"double-stamps/email/plain": 310.25},
    offer_offsets={"double-stamps": 300.0},
    prior_offset=40.0,
    prior_slopes={"offer_kind=0": 2.5},
    responses={"double-stamps/email/plain": 1.25},
    offer_responses={"double-stamps": 1.2},
    prior_response=0.8,
    response_slopes={"offer_difficulty": -0.01},
    number_ranges={"offer_difficulty": (0.0, 7.5, 20.0)},
)
LAYOUT = DesignLayout(customer=("purchase_count_30d", "purchase_recency_days"), message=CODING.columns)


def make_booster(columns: int) -> str:
    rng = np.random.default_rng(5)
    matrix = rng.normal(size=(400, columns))
    target = matrix[:, 0] * 10 + matrix[:, 2] + rng.normal(size=400)
    settings = {"num_leaves": 7, "verbosity": -1, "num_threads": 1, "seed": 1}
    return lightgbm.train(settings, lightgbm.Dataset(matrix, target), num_boost_round=12).model_to_string()


@pytest.fixture(scope="module")
def bundle() -> ModelBundle:
    reference = np.array([[0.0, 0.0, 0.0, 10.0, np.nan, 1.0], [0.0, 1.0, 0.0, np.nan, np.nan, 1.0]])
    calibrator = Calibrator(
        baseline_intercept=1.5,
        baseline_slope=0.9,
        common_slope=0.5,
        specific_slope=0.25,
        reference=reference,
        reference_weights=np.array([0.5, 0.5]),
    )
    return ModelBundle(
        booster=make_booster(len(LAYOUT.columns)),
        layout=LAYOUT,
        coding=CODING,
        calibrator=calibrator,
        feature_schema="fp-1",
        catalogue_version="cat-1",
        measure_id="net_revenue",
        window_days=7.0,
        notes={"best_single_message": "double-stamps/email/plain"},
    )


@pytest.fixture
def folder(bundle: ModelBundle, tmp_path: Path) -> Path:
    write_bundle(bundle, tmp_path / "model")
    return tmp_path / "model"


def messages_of(catalogue: Catalogue) -> list[Message]:
    email = [one for one in catalogue.creatives if one.channel_id == "email"]
    channel = catalogue.channels["email"]
    return [Message(offer=catalogue.offers[one.offer_id], channel=channel, creative=one) for one in email]


def test_a_model_read_back_scores_as_the_one_written(bundle: ModelBundle, folder: Path, shop_catalogue: Catalogue):
    fresh, loaded = value_model(bundle, version="7"), load_value_model(folder, version="7")
    features = FeatureVector(names=LAYOUT.customer, values=np.array([1.0, np.nan]), ages_seconds={}, schema="fp-1")
    rows = loaded.messages(messages_of(shop_catalogue))
    np.testing.assert_array_equal(rows, fresh.messages(messages_of(shop_catalogue)))
    messages = messages_of(shop_catalogue)
    np.testing.assert_array_equal(loaded.on(messages).of([features], [NOW]), fresh.on(messages).of([features], [NOW]))
    assert loaded.version == "7"
    assert loaded.feature_schema == "fp-1"


def test_everything_but_the_booster_is_read_back_unchanged(bundle: ModelBundle, folder: Path):
    read = read_bundle(folder)
    assert read.coding == bundle.coding
    assert read.layout == bundle.layout
    assert read.notes == bundle.notes
    np.testing.assert_array_equal(read.calibrator.reference, bundle.calibrator.reference)
    assert read.digest == bundle.digest


def test_linear_effects_survive_the_journey_and_a_model_without_them_is_written_as_before(
    bundle: ModelBundle, tmp_path: Path
):
    basis = LinearBasis(
        means=np.array([1.5, 0.1]), spreads=np.array([0.5, 3.0]), directions=np.eye(2), centres=np.array([0.25, 1 / 3])
    )
    loadings = (MessageNumbers(by_message={"double-stamps/email/plain": 1 / 7}, prior=0.5), MessageNumbers())
    coding = replace(CODING, loadings=loadings)
    layout = replace(LAYOUT, message=coding.columns)
    calibrator = replace(bundle.calibrator, reference=np.zeros((2, len(coding.columns))))
    linear = replace(
        bundle, booster=make_booster(len(layout.columns)), layout=layout, coding=coding, calibrator=calibrator,
        basis=basis,
    )  # fmt: skip
    digest = write_bundle(linear, tmp_path)
    read = read_bundle(tmp_path)
    assert read.coding == coding
    assert read.digest == digest
    assert read.basis is not None
    for part in ("means", "spreads", "directions", "centres"):
        assert getattr(read.basis, part).tobytes() == getattr(basis, part).tobytes()
    write_bundle(bundle, tmp_path)
    plain = orjson.loads((tmp_path / "model.json").read_bytes())
    assert "linear_basis" not in plain
    assert "loadings" not in plain["coding"]


def test_slopes_by_group_survive_the_journey_and_a_model_without_them_is_written_as_before(
    bundle: ModelBundle, tmp_path: Path
):
    coding = replace(CODING, averages=MessageNumbers(by_message={"double-stamps/email/plain": 1 / 7}, prior=0.5))
    layout = replace(LAYOUT, message=coding.columns)
    calibrator = replace(bundle.calibrator, reference=np.zeros((2, len(coding.columns))))
    slopes = GroupSlopes(by_feature={"stage_index": (1.0, 1 / 3), "attribute_tier": (0.0, 2.0)})
    grouped = replace(
        bundle, booster=make_booster(len(layout.columns)), layout=layout, coding=coding, calibrator=calibrator,
        group_slopes=slopes,
    )  # fmt: skip
    digest = write_bundle(grouped, tmp_path)
    read = read_bundle(tmp_path)
    assert (read.coding, read.group_slopes, read.digest) == (coding, slopes, digest)
    assert load_value_model(tmp_path).group_slopes == slopes
    write_bundle(bundle, tmp_path)
    plain = orjson.loads((tmp_path / "model.json").read_bytes())
    assert "group_slopes" not in plain
    assert "averages" not in plain["coding"]


def test_a_model_without_a_name_is_named_by_its_digest(bundle: ModelBundle, folder: Path):
    assert load_value_model(folder).version == bundle.digest[:12]


def test_the_folder_holds_text_only(folder: Path):
    assert {path.name for path in folder.iterdir()} == {"booster.txt", "model.json"}
    assert (folder / "booster.txt").read_text().startswith("tree\n")


@pytest.mark.parametrize("file", ["booster.txt", "model.json"])
def test_a_missing_file_is_refused(folder: Path, file: str):
    (folder / file).unlink()
    with pytest.raises(ModelUnavailableError, match=r"must hold a readable booster\.txt and model\.json"):
        load_value_model(folder)


def test_a_changed_booster_is_refused(folder: Path):
    path = folder / "booster.txt"
    path.write_text(path.read_text().replace("leaf_value=", "leaf_value=9", 1))
    with pytest.raises(ModelUnavailableError, match=r"booster.txt .* must be the file that was written"):
        load_value_model(folder)


def test_a_truncated_booster_is_refused(folder: Path):
    path = folder / "booster.txt"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ModelUnavailableError, match="changed or cut short"):
        load_value_model(folder)


def test_a_changed_number_is_refused(folder: Path):
    path = folder / "model.json"
    path.write_text(path.read_text().replace("310.25", "910.25"))
    with pytest.raises(ModelUnavailableError, match=r"model.json .* must be the file that was written"):
        load_value_model(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}', "\x00\xff"])
def test_a_folder_that_is_not_a_model_is_refused(folder: Path, text: str):
    (folder / "model.json").write_text(text)
    with pytest.raises(ModelUnavailableError):
        load_value_model(folder)


def test_a_missing_field_is_named(bundle: ModelBundle, folder: Path):
    content = orjson.loads((folder / "model.json").read_bytes())
    del content["calibrator"]["common_slope"], content["digest"]
    content["digest"] = hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
    (folder / "model.json").write_bytes(orjson.dumps(content))
    with pytest.raises(ModelUnavailableError, match="common_slope"):
        load_value_model(folder)


def test_a_booster_for_other_columns_is_refused(bundle: ModelBundle):
    with pytest.raises(ModelUnavailableError, match="must have 11 columns, got 4"):
        value_model(replace(bundle, booster=make_booster(4)), version="1")


def test_text_that_is_not_a_booster_is_refused(bundle: ModelBundle):
    with pytest.raises(ModelUnavailableError, match="must be a LightGBM model"):
        value_model(replace(bundle, booster="tree\nnonsense"), version="1")


def test_what_lies_ahead_survives_the_journey(bundle: ModelBundle, tmp_path: Path):
    slot = SlotPrices(
        cap_id="month",
        of="marketing",
        limit=2,
        window_seconds=2_419_200.0,
        step_seconds=604_800.0,
        edges_minor=(10.0, 1 / 3),
        prices_minor={0: (0.1, 2.0, 3.0), 5: (0.0, 4.0, 1e-9)},
    )
    credit = StageCredit(feature="stage_index", by_offer={"free-coffee": (1 / 3, -2.0)})
    ahead = replace(bundle, foresight=Foresight(slots=(slot,)), credit=credit)
    write_bundle(ahead, tmp_path)
    read = read_bundle(tmp_path)
    assert (read.foresight, read.credit, read.digest) == (ahead.foresight, credit, ahead.digest)
    model = value_model(read, version="7")
    assert (model.foresight, model.credit) == (ahead.foresight, credit)
    assert bundle.digest != ahead.digest
