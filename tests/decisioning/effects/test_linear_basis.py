"""Linear effects: numbers of a customer times loadings of a message, the same alone and among others."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import Message
from decisioning.effects.linear_basis import MOST_DEVIATIONS, LinearBasis, linear_effects
from decisioning.effects.message_coding import MessageCoding, MessageNumbers
from decisioning.scoring import FeatureVector
from decisioning.value_model import Calibrator, DesignLayout, ValueModel, context_vector, design_matrix

NOW = datetime(2026, 11, 21, 18, 30, tzinfo=UTC)
BASIS = LinearBasis(
    means=np.array([10.0, 0.0, 1.0]),
    spreads=np.array([2.0, 1.0, 0.5]),
    directions=np.array([[1.0, 0.0, 0.0], [0.5, -1.0, 2.0]]),
    centres=np.array([0.25, 0.0]),
)
CODING = MessageCoding(
    offer_kinds=("points",),
    channels=("email",),
    loadings=(
        MessageNumbers(by_message={"double-stamps/email/plain": 3.0}, by_offer={"free-coffee": 1.5}, prior=-2.0),
        MessageNumbers(prior=1.0, prior_slopes={"channel=0": 0.5}),
    ),
)
MODEL = ValueModel(
    version="1",
    feature_schema="s",
    measure_id="net_revenue",
    window_days=7.0,
    layout=DesignLayout(customer=("a", "b", "c"), message=CODING.columns),
    coding=CODING,
    calibrator=Calibrator(
        baseline_intercept=100.0,
        baseline_slope=0.0,
        common_slope=0.0,
        specific_slope=0.0,
        reference=np.empty((0, len(CODING.columns))),
        reference_weights=np.empty(0),
    ),
    predict=lambda matrix: np.zeros(len(matrix)),
    basis=BASIS,
)
SENT = ("double-stamps", "free-coffee", "ten-percent")


@pytest.fixture
def messages(shop_catalogue: Catalogue) -> list[Message]:
    return by_mail(shop_catalogue)


def by_mail(catalogue: Catalogue) -> list[Message]:
    creatives = {one.offer_id: one for one in catalogue.creatives if one.channel_id == "email"}
    email = catalogue.channels["email"]
    return [Message(offer=catalogue.offers[one], channel=email, creative=creatives[one]) for one in SENT]


def test_a_feature_counts_in_deviations_from_its_mean_up_to_a_limit_and_not_where_it_is_missing():
    numbers = BASIS.of(np.array([[12.0, 0.0, 1.0], [1e300, 0.0, 1.0], [np.nan, 0.0, np.nan], [-np.inf, 1.0, 1.5]]))
    assert numbers[:, 0].tolist() == [0.75, MOST_DEVIATIONS - 0.25, -0.25, -MOST_DEVIATIONS - 0.25]
    assert numbers[3, 1] == 0.5 * -MOST_DEVIATIONS - 1.0 + 2.0 * 1.0


def test_an_effect_is_the_sum_of_numbers_times_loadings():
    found = linear_effects(np.array([[1.0, 2.0], [0.0, -1.0]]), np.array([[3.0, 0.5], [1.0, 1.0], [0.0, 0.0]]))
    assert found.tolist() == [[4.0, 3.0, 0.0], [-0.5, -1.0, 0.0]]


def test_a_message_has_loadings_of_its_own_else_of_its_offer_else_what_is_to_be_expected(messages: list[Message]):
    columns = MODEL.messages(messages)
    assert CODING.columns[-2:] == ("message_loading_1", "message_loading_2")
    assert columns[1:, -2:].tolist() == [[3.0, 1.5], [1.5, 1.5], [-2.0, 1.5]]


def test_the_value_of_a_message_has_its_linear_effect(messages: list[Message]):
    features = FeatureVector(names=("a", "b", "c"), values=np.array([12.0, 0.0, 1.0]), ages_seconds={}, schema="s")
    values = MODEL.on(messages).of([features], [NOW])[0]
    assert values.tolist() == [100.0, 100.0 + 0.75 * 3.0 + 0.5 * 1.5, 100.0 + 0.75 * 1.5 + 0.75, 100.0 - 1.5 + 0.75]
    assert replace(MODEL, basis=None).on(messages).of([features], [NOW])[0].tolist() == [100.0] * 4


@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6) | st.just(float("nan"))] * 3), min_size=1, max_size=20))
def test_every_customer_has_the_values_that_they_have_alone(
    shop_catalogue: Catalogue, rows: list[tuple[float, float, float]]
):
    sent = by_mail(shop_catalogue)
    columns, context = MODEL.messages(sent), context_vector(NOW, 7.0)
    shared = np.array([[*row, *context] for row in rows])
    together = MODEL.on(sent).of_columns(shared)
    for row, found in zip(rows, together, strict=True):
        alone = MODEL.expected_values_of(design_matrix(np.array(row), columns, context)[np.newaxis])[0]
        assert alone.tobytes() == found.tobytes()
