"""What outcomes since training say of messages, on top of what the model says: a Bayesian residual each.

A residual is by how much the effect of a message at one journey stage differs from what the model predicts for it.
Before any outcome it is normal with mean 0 and the prior deviation t of the training run. Outcomes add an estimate r
with a standard error s, as if it came from a measurement of its own (`training.residuals` works both out)::

    share        = t^2 / (t^2 + s^2)
    contribution = share r, within 3 t in either direction      what is added to the model's value of the message
    deviation    = t sqrt(1 - share)                            what Thompson sampling draws with

A message that fewer than ten customers got contributes nothing yet. So neither a few reports nor a flood of them from
one source moves a price far, and a residual is only ever part of a price: no gate looks at it.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from decisioning.arrays import BoolArray, FloatArray

FEWEST_CUSTOMERS = 10
"""Customers who must have got a message before its outcomes count."""

MOST_DEVIATIONS = 3.0
"""Prior deviations that a residual adds or takes away at most."""


class Residuals:
    """Residuals of silence (row 0) and the k candidates of a touchpoint at one journey stage; shapes (k + 1,).

    Attributes:
        prior_deviation: `t`, in the unit of expected values; 0 for silence, and where nothing was learned of it.
        estimate: `r`; 0 where there is no evidence.
        standard_error: `s`; infinite where there is none.
        customers: How many got the message since training, by chance and not by rule.
        has_evidence: Whether there is any.
        contribution: See the module.
        deviation: See the module.
    """

    __slots__ = (
        "contribution",
        "customers",
        "deviation",
        "estimate",
        "has_evidence",
        "is_idle",
        "prior_deviation",
        "standard_error",
    )

    def __init__(
        self, prior_deviation: FloatArray, estimate: FloatArray, standard_error: FloatArray, customers: FloatArray
    ) -> None:
        """Work out what they come to."""
        self.prior_deviation, self.estimate = prior_deviation, estimate
        self.standard_error, self.customers = standard_error, customers
        self.has_evidence: BoolArray = np.isfinite(standard_error)
        prior, error = prior_deviation * prior_deviation, standard_error * standard_error
        counts = (customers >= FEWEST_CUSTOMERS) & (prior > 0)
        share = np.zeros(len(prior))
        share[counts] = prior[counts] / (prior[counts] + error[counts])
        most = MOST_DEVIATIONS * prior_deviation
        self.contribution: FloatArray = np.minimum(np.maximum(share * estimate, -most), most)
        self.deviation: FloatArray = prior_deviation * np.sqrt(1.0 - share)
        self.is_idle = not self.contribution.any()

    def on(self, expected_values: FloatArray) -> FloatArray:
        """Expected values with what residuals contribute: shape (k + 1,) in and out."""
        return expected_values if self.is_idle else expected_values + self.contribution


def rounded(values: FloatArray) -> FloatArray:
    """Values to 8 binary digits, which is within 0.4 %: evidence is surer than that only where it hardly matters.

    So written, a value takes two bytes of a record in place of eight.

    Example:
        >>> rounded(np.array([0.0, 1.0, 100.3, -12345.0])).tolist()
        [0.0, 1.0, 100.5, -12352.0]
    """
    bits = values.astype("<f4").view("<u4")
    return ((bits + np.uint32(0x8000)) & np.uint32(0xFFFF0000)).view("<f4").astype(np.float64)


type ResidualsByStage = Mapping[str, Residuals]
"""By journey stage; `NO_STAGE` where none is known."""

NO_STAGE = ""

NO_RESIDUALS: ResidualsByStage = MappingProxyType({})
"""Where nothing is learned between trainings."""


def residuals_at(residuals: ResidualsByStage, stage_id: str | None) -> Residuals | None:
    """Those of a stage; None where nothing is known of it."""
    return residuals.get(stage_id or NO_STAGE)
