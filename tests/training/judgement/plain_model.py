"""A value model that says what a function says, without calibration."""

import numpy as np

from decisioning.effects.message_coding import MessageCoding
from decisioning.value_model import Calibrator, DesignLayout, Predict, ValueModel


def plain_model(layout: DesignLayout, coding: MessageCoding, predict: Predict) -> ValueModel:
    numbers = Calibrator(
        baseline_intercept=0.0,
        baseline_slope=1.0,
        common_slope=1.0,
        specific_slope=1.0,
        reference=np.zeros((0, len(coding.columns))),
        reference_weights=np.zeros(0),
    )
    return ValueModel(
        version="1",
        feature_schema="s",
        measure_id="net_revenue",
        window_days=7.0,
        layout=layout,
        coding=coding,
        calibrator=numbers,
        predict=predict,
    )
