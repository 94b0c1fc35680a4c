"""How much of what is personal about effects is believed, by groups of customers that features name.

Where differences between customers did not prove right, at one journey stage or in one segment, customers get the
average effect of each message, and so the best message for all::

    effect = average(message) + slope(customer) (effect(customer, message) - average(message))

The slope of a customer is the product of those of all groups that the customer is in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from decisioning.arrays import FloatArray
from decisioning.foresight.stages import at_stages


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSlopes:
    """Slopes by group.

    Attributes:
        by_feature: By the feature that holds the place of a customer's group, from 0: the slope of each place. At 0
            nothing personal is left, at 1 all is believed as it was learned.
    """

    by_feature: Mapping[str, tuple[float, ...]]

    def of(self, names: Sequence[str], features: FloatArray) -> FloatArray:
        """Of n customers, each as if alone: d names and shape (n, d) in, shape (n,) out; 1 for an unknown group.

        Example:
            >>> GroupSlopes(by_feature={"stage_index": (1.0, 0.25)}).of(["stage_index"], np.array([[1.0], [np.nan]]))
            array([0.25, 1.  ])
        """
        found = np.ones(len(features))
        for name, slopes in self.by_feature.items():
            if name in names:
                found *= at_stages(np.array([*slopes, 1.0]), features[:, names.index(name)])
        return found
