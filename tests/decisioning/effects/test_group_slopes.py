"""Slopes by group: what is personal about effects is believed where it proved right, and averages stay as they are."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decisioning.catalogue.catalogue import Catalogue
from decisioning.effects.group_slopes import GroupSlopes
from decisioning.effects.message_coding import MessageNumbers
from decisioning.value_model import DesignLayout, ValueModel, context_vector, design_matrix
from tests.decisioning.effects.test_linear_basis import CODING as PLAIN
from tests.decisioning.effects.test_linear_basis import MODEL, by_mail

NOW = datetime(2026, 11, 21, 18, 30, tzinfo=UTC)
NAMES = ("a", "stage_index", "attribute_tier")
CODING = replace(PLAIN, averages=MessageNumbers(by_message={"double-stamps/email/plain": 2.0}, prior=1.0))


def model_with(slopes: GroupSlopes | None) -> ValueModel:
    layout = DesignLayout(customer=NAMES, message=CODING.columns)
    calibrator = replace(MODEL.calibrator, reference=np.empty((0, len(CODING.columns))))
    return replace(MODEL, layout=layout, coding=CODING, calibrator=calibrator, group_slopes=slopes)


def test_effects_move_from_the_average_by_the_slope_of_the_customers_group(shop_catalogue: Catalogue):
    messages, customers = by_mail(shop_catalogue), np.array([[12.0, stage, 0.0, 7.0, 9.0, 1.0] for stage in range(3)])
    full = model_with(None).on(messages).of_columns(customers)
    slopes = GroupSlopes(by_feature={"stage_index": (1.0, 0.5, 0.0)})
    found = model_with(slopes).on(messages).of_columns(customers)
    averages = 100.0 + np.array([0.0, 2.0, 1.0, 1.0])
    np.testing.assert_allclose(found[0], full[0])
    np.testing.assert_allclose(found[1], (full[1] + averages) / 2)
    np.testing.assert_allclose(found[2], averages)


def test_groups_multiply_and_an_unknown_group_is_believed_as_learned():
    slopes = GroupSlopes(by_feature={"stage_index": (1.0, 0.5), "attribute_tier": (0.5, 2.0), "gone": (0.0,)})
    places = np.array([[0.0, 1.0, 0.0], [0.0, 1.0, np.nan], [0.0, 7.0, 1.0], [0.0, -1.0, 2.0], [0.0, 1.0, 1.0]])
    assert slopes.of(NAMES, places).tolist() == [0.25, 0.5, 2.0, 1.0, 1.0]


@pytest.mark.parametrize("has_slopes", [True, False])
@given(rows=st.lists(st.tuples(*[st.floats(-3, 3) | st.just(float("nan"))] * 3), min_size=1, max_size=20))
def test_every_customer_has_the_values_that_they_have_alone(
    shop_catalogue: Catalogue, *, has_slopes: bool, rows: list[tuple[float, float, float]]
):
    slopes = GroupSlopes(by_feature={"stage_index": (1.0, 0.3), "attribute_tier": (0.7,)}) if has_slopes else None
    model, sent, context = model_with(slopes), by_mail(shop_catalogue), context_vector(NOW, 7.0)
    together = model.on(sent).of_columns(np.array([[*row, *context] for row in rows]))
    for row, found in zip(rows, together, strict=True):
        matrix = design_matrix(np.array(row), model.messages(sent), context)
        assert model.expected_values_of(matrix[np.newaxis])[0].tobytes() == found.tobytes()
