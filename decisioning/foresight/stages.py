"""What messages change beyond the window of a model: where they leave customers, and what it is worth to stand there.

Learned by `training.foresight.stage_credit`. It is added to a message's expected value where decisions are made, and
nowhere where a model is judged by what came within its window.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from decisioning.arrays import FloatArray
from decisioning.value_class import value_class


@value_class
class StageCredit:
    """Credit by offer and stage.

    Attributes:
        feature: The feature that holds the place of the customer's stage, from 0 in journey order.
        by_offer: shape (s,) each: what a message of the offer adds beyond the window, in the measure's unit, to a
            customer who stands at that place.
    """

    feature: str
    by_offer: Mapping[str, tuple[float, ...]]

    def table(self, offer_ids: Sequence[str]) -> FloatArray:
        """Credit of silence and of messages of k offers, shape (s + 1, k + 1): the last row is for no known stage.

        Example:
            >>> StageCredit(feature="stage_index", by_offer={}).table([]).tolist()
            [[0.0]]
        """
        places = max((len(row) for row in self.by_offer.values()), default=0)
        found = np.zeros((places + 1, len(offer_ids) + 1))
        for column, offer_id in enumerate(offer_ids, start=1):
            row = self.by_offer.get(offer_id, ())
            found[: len(row), column] = row
        return found


def at_stages(table: FloatArray, stages: FloatArray) -> FloatArray:
    """Rows of a table for customers whose places are given, NaN where it is missing: shape (n, ...).

    The last row of the table is for places that are missing or that it does not have.

    Example:
        >>> at_stages(np.array([[0.0, 5.0], [0.0, 0.0]]), np.array([0.0, np.nan, 7.0])).tolist()
        [[0.0, 5.0], [0.0, 0.0], [0.0, 0.0]]
    """
    last = len(table) - 1
    is_known = (stages >= 0) & (stages < last)
    return table[np.where(is_known, stages, last).astype(np.intp)]
