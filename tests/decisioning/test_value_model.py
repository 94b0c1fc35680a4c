"""The value of messages: columns describe the message, values follow the formula, batches equal single decisions."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.arrays import FloatArray
from decisioning.catalogue.catalogue import Attribute, AttributeKind, Catalogue
from decisioning.catalogue.message import Message, Offer
from decisioning.effects.message_coding import MessageCoding, message_matrix
from decisioning.errors import InvalidInputError
from decisioning.foresight.stages import StageCredit
from decisioning.scoring import FeatureVector
from decisioning.value_model import (
    CONTEXT_COLUMNS,
    Calibrator,
    DesignLayout,
    PredictShared,
    ValueModel,
    context_vector,
    design_matrix,
    row_by_row,
)

NOW = datetime(2026, 11, 21, 18, 30, tzinfo=UTC)
CUSTOMER = ("purchase_count_30d", "purchase_recency_days", "stage_index")
CODING = MessageCoding(
    offer_kinds=("points", "gift"),
    channels=("email", "push"),
    attributes=(
        Attribute(name="difficulty", kind=AttributeKind.NUMBER),
        Attribute(name="tone", kind=AttributeKind.CATEGORY, values=("warm", "plain")),
        Attribute(name="is_urgent", kind=AttributeKind.FLAG),
    ),
    offsets={"double-stamps/email/plain": 300.0, "free-coffee/email/plain": 20.0},
    offer_offsets={"double-stamps": 290.0},
    prior_offset=50.0,
    prior_slopes={"offer_kind=1": 5.0, "offer_difficulty": 2.0, "offer_tone=1": -7.0, "channel=0": 1.0},
    responses={"double-stamps/email/plain": 1.5, "free-coffee/email/plain": 0.5},
    offer_responses={"double-stamps": 1.4},
    prior_response=0.9,
    response_slopes={"offer_kind=1": 0.2, "offer_difficulty": 0.01},
    number_ranges={"offer_difficulty": (0.0, 12.0, 20.0)},
)
LAYOUT = DesignLayout(customer=CUSTOMER, message=CODING.columns)
FEATURES = FeatureVector(names=CUSTOMER, values=np.array([3.0, np.nan, 1.0]), ages_seconds={}, schema="s1")


def learned(matrix: FloatArray) -> FloatArray:
    """A known function: 100 per purchase, and twice the difficulty for a customer of stage 1; silence adds nothing."""
    filled = np.nan_to_num(matrix)
    is_message = 1.0 - filled[:, 3]
    return 100.0 * filled[:, 0] + is_message * (10.0 + 2.0 * filled[:, 6] * filled[:, 2])


def make_calibrator(common: float = 0.5, specific: float = 0.25) -> Calibrator:
    reference = np.full((2, len(CODING.columns)), np.nan)
    reference[:, 0] = 0.0
    reference[:, 3] = (4.0, 8.0)
    return Calibrator(
        baseline_intercept=7.0,
        baseline_slope=0.9,
        common_slope=common,
        specific_slope=specific,
        reference=reference,
        reference_weights=np.array([0.75, 0.25]),
    )


def make_model(**changes: object) -> ValueModel:
    model = ValueModel(
        version="3",
        feature_schema="s1",
        measure_id="net_revenue",
        window_days=7.0,
        layout=LAYOUT,
        coding=CODING,
        calibrator=make_calibrator(),
        predict=learned,
    )
    return replace(model, **changes)  # pyright: ignore[reportArgumentType]


def score(model: ValueModel, messages: list[Message], features: FeatureVector = FEATURES) -> FloatArray:
    return model.on(messages).of([features], [NOW])[0]


@pytest.fixture
def messages(shop_catalogue: Catalogue) -> list[Message]:
    creative = {one.offer_id: one for one in shop_catalogue.creatives if one.channel_id == "email"}
    offers = [shop_catalogue.offers[name] for name in ("double-stamps", "free-coffee", "ten-percent")]
    attributes = ({"difficulty": 10, "tone": "plain", "is_urgent": True}, {"difficulty": None}, {"difficulty": "much"})
    described = [replace(offer, attributes=given) for offer, given in zip(offers, attributes, strict=True)]
    email = shop_catalogue.channels["email"]
    return [Message(offer=offer, channel=email, creative=creative[offer.offer_id]) for offer in described]


def new_offer(message: Message, **changes: object) -> Message:
    offer: Offer = replace(message.offer, **{"offer_id": "brand-new", **changes})  # pyright: ignore[reportArgumentType]
    return replace(message, offer=offer)


def test_silence_is_row_zero_with_a_flag_and_nothing_else(messages: list[Message]):
    matrix = message_matrix(CODING, messages)
    assert matrix.shape == (4, 8)
    assert matrix[0, 0] == 1.0
    assert np.isnan(matrix[0, 1:]).all()
    assert (matrix[1:, 0] == 0.0).all()


def test_a_message_is_described_by_codes_numbers_and_its_average_effect(messages: list[Message]):
    matrix = message_matrix(CODING, messages)
    assert matrix[1].tolist() == [0.0, 0.0, 0.0, 10.0, 1.0, 1.0, 300.0, 1.5]
    assert CODING.columns[3:6] == ("offer_difficulty", "offer_tone", "offer_is_urgent")
    assert CODING.columns[6:] == ("message_offset", "message_response")


def test_what_is_not_known_about_a_message_is_missing(messages: list[Message]):
    unknown = message_matrix(CODING, messages)[3]
    assert np.isnan(unknown[[1, 3, 4, 5]]).all()
    assert unknown[2] == 0.0


def test_a_new_creative_of_a_known_offer_takes_the_offers_numbers(messages: list[Message]):
    reworded = replace(messages[0], creative=replace(messages[0].creative, creative_id="new-words"))
    assert message_matrix(CODING, [reworded])[1, -2:].tolist() == [290.0, 1.4]


def test_a_new_offer_takes_the_numbers_predicted_from_its_attributes(messages: list[Message]):
    new = new_offer(messages[0], kind="gift", attributes={"difficulty": 10, "tone": "plain"})
    offset, response = message_matrix(CODING, [new])[1, -2:]
    assert offset == 50.0 + 5.0 + 2.0 * 10 - 7.0 + 1.0
    assert response == pytest.approx(0.9 + 0.2 + 0.01 * 10)


@pytest.mark.parametrize(("difficulty", "seen_as"), [(-5, 0.0), (20, 20.0), (500, 20.0), (None, 12.0)])
def test_predictions_for_a_new_offer_stay_within_the_observed_range(
    messages: list[Message], difficulty: float | None, seen_as: float
):
    new = new_offer(messages[0], attributes={"difficulty": difficulty})
    assert message_matrix(CODING, [new])[1, -2] == 50.0 + 2.0 * seen_as + 1.0


def test_code_columns_are_the_categorical_ones():
    assert CODING.code_columns == {"offer_kind", "channel", "offer_tone"}


def test_the_design_repeats_customer_and_context_on_every_row(messages: list[Message]):
    context = context_vector(NOW, 7.0)
    matrix = design_matrix(FEATURES.values, message_matrix(CODING, messages), context)
    assert matrix.shape == (4, len(LAYOUT.columns))
    assert matrix.flags.c_contiguous
    assert LAYOUT.columns == (*CUSTOMER, *CODING.columns, *CONTEXT_COLUMNS)
    np.testing.assert_array_equal(matrix[:, :3], np.tile(FEATURES.values, (4, 1)))
    np.testing.assert_array_equal(matrix[:, -3:], np.tile([7.0, 18.5, 5.0], (4, 1)))


def test_values_follow_the_formula(messages: list[Message]):
    model = make_model()
    values = score(model, messages)
    silence = 7.0 + 0.9 * 300.0
    effects = np.array([10.0 + 20.0, 10.0, 10.0])  # difficulty 10 for the first, missing for the others
    common = 0.75 * (10.0 + 8.0) + 0.25 * (10.0 + 16.0)
    offsets = np.array([300.0, 20.0, 50.0 + 2.0 * 12.0 + 1.0])
    responses = np.array([1.5, 0.5, 0.9 + 0.01 * 12.0])
    expected = silence + offsets + 0.5 * responses * common + 0.25 * (effects - responses * common)
    np.testing.assert_allclose(values, [silence, *expected], rtol=1e-12)


def test_equal_slopes_need_no_reference_and_give_the_same_values(messages: list[Message]):
    with_reference = make_model(calibrator=make_calibrator(0.4, np.nextafter(0.4, 1.0)))
    without = make_model(calibrator=replace(make_calibrator(0.4, 0.4), reference=np.empty((0, 8))))
    np.testing.assert_allclose(score(without, messages), score(with_reference, messages))


def test_the_value_of_a_message_does_not_depend_on_the_other_candidates(messages: list[Message]):
    model = make_model()
    together = score(model, messages)
    alone = [score(model, [one])[1] for one in messages]
    assert together[1:].tolist() == alone


def test_without_messages_silence_still_has_a_value():
    model = make_model()
    assert score(model, []).tolist() == [7.0 + 0.9 * 300.0]


def test_features_are_matched_by_name_and_absent_ones_are_missing(messages: list[Message]):
    model = make_model()
    other = FeatureVector(
        names=("age", "stage_index", "purchase_count_30d"),
        values=np.array([40.0, 1.0, 3.0]),
        ages_seconds={},
        schema="s2",
    )
    np.testing.assert_array_equal(score(model, messages, other), score(model, messages))
    without = FeatureVector(names=("age",), values=np.array([40.0]), ages_seconds={}, schema="s3")
    nothing = replace(FEATURES, values=np.full(3, np.nan))
    np.testing.assert_array_equal(score(model, messages, without), score(model, messages, nothing))


def designs_of(model: ValueModel, messages: list[Message]) -> FloatArray:
    context = context_vector(NOW, model.window_days)
    return design_matrix(FEATURES.values, model.messages(messages), context)[np.newaxis]


def test_a_matrix_of_another_width_is_refused(messages: list[Message]):
    model = make_model()
    with pytest.raises(InvalidInputError, match="must have 14 columns, got 13"):
        model.expected_values_of(designs_of(model, messages)[:, :, :-1])


def test_a_matrix_without_silence_in_front_is_refused(messages: list[Message]):
    model = make_model()
    with pytest.raises(InvalidInputError, match="row 0 of a design matrix must be silence"):
        model.expected_values_of(designs_of(model, messages)[:, 1:])


@settings(max_examples=40, deadline=None)
@given(counts=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9), rows=st.integers(1, 12), extra=st.integers(1, 17))
def test_many_decisions_at_once_equal_single_ones_bit_for_bit(counts: list[float], rows: int, extra: int):
    rng = np.random.default_rng(rows)
    reference = rng.normal(size=(extra, len(CODING.columns)))
    weights = rng.dirichlet(np.ones(extra))
    model = make_model(calibrator=replace(make_calibrator(), reference=reference, reference_weights=weights))
    table = rng.normal(size=(rows, len(CODING.columns)))
    table[0, 0] = 1.0
    context = context_vector(NOW, 7.0)
    designs = np.stack([design_matrix(np.array([count, 1.5, 0.3]), table, context) for count in counts])
    together = model.expected_values_of(designs)
    for one, values in zip(designs, together, strict=True):
        np.testing.assert_array_equal(model.expected_values_of(one[np.newaxis])[0], values)


@pytest.mark.parametrize("specific", [0.25, 0.5])
def test_values_for_fixed_messages_equal_those_of_their_matrices_bit_for_bit(messages: list[Message], specific: float):
    model = make_model(calibrator=make_calibrator(0.5, specific))
    matrices = designs_of(model, messages)
    np.testing.assert_array_equal(model.on(messages).of([FEATURES], [NOW]), model.expected_values_of(matrices))
    shared = np.concatenate([FEATURES.values, context_vector(NOW, 7.0)])[np.newaxis]
    np.testing.assert_array_equal(model.on(messages).of_columns(shared), model.expected_values_of(matrices))


def test_a_model_with_fixed_messages_is_not_evaluated_row_by_row(messages: list[Message]):
    class Known:
        def __call__(self, matrix: FloatArray) -> FloatArray:
            raise AssertionError

        def on(self, messages: FloatArray) -> PredictShared:
            return row_by_row(learned, len(CUSTOMER), messages)

    np.testing.assert_array_equal(score(make_model(predict=Known()), messages), score(make_model(), messages))


def test_each_customer_may_have_their_own_measurement_window(messages: list[Message]):
    model = make_model(predict=lambda matrix: matrix[:, -3])
    values = model.on(messages).of([FEATURES, FEATURES], [NOW, NOW], [7.0, 30.0])
    np.testing.assert_allclose(values[:, 0], [7.0 + 0.9 * 7.0, 7.0 + 0.9 * 30.0])
    np.testing.assert_array_equal(values[0], score(model, messages))


def test_credit_beyond_the_window_counts_where_decisions_are_made_and_nowhere_else(messages: list[Message]):
    offer = messages[0].offer.offer_id
    plain = make_model().on(messages)
    credited = make_model(credit=StageCredit(feature="stage_index", by_offer={offer: (5.0, 40.0)})).on(messages)
    added = credited.of([FEATURES], [NOW]) - plain.of([FEATURES], [NOW])
    assert added[0, 0] == 0.0
    assert [bool(one) for one in added[0, 1:]] == [one.offer.offer_id == offer for one in messages]
    assert added.max() == pytest.approx(40.0)
    judged = [values.of([FEATURES], [NOW], [7.0]).tolist() for values in (plain, credited)]
    assert judged[0] == judged[1]
    unknown = replace(FEATURES, values=np.array([3.0, np.nan, np.nan]))
    assert credited.of([unknown], [NOW]).tolist() == plain.of([unknown], [NOW]).tolist()


def test_credit_by_a_feature_that_the_model_lacks_is_none(messages: list[Message]):
    credit = StageCredit(feature="another", by_offer={messages[0].offer.offer_id: (5.0, 40.0)})
    values = make_model(credit=credit).on(messages).of([FEATURES], [NOW])
    assert values.tolist() == make_model().on(messages).of([FEATURES], [NOW]).tolist()
