"""The learned function of a bundle: leaf sets where they were seen to equal LightGBM, else LightGBM itself.

Deciding needs LightGBM for nothing once the check of a booster is known. It is imported where its own `predict` is
asked, and brings pandas and scikit-learn, two seconds and 160 MB with it.
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import structlog

from decisioning.arrays import FloatArray
from decisioning.errors import ModelUnavailableError
from decisioning.value_model import DesignLayout, PredictShared, row_by_row
from features.models.booster_text import BoosterTrees, UnknownBoosterError, read_booster_text
from features.models.leaf_check import found_difference
from features.models.leaf_code import KernelUnavailableError, kernels
from features.models.leaf_sets import LeafSets, compile_booster

if TYPE_CHECKING:
    import lightgbm

_LOG = structlog.get_logger("nextbest.models")


class LearnedFunction:
    """A booster, on whole rows or on fixed message rows: both give the same to the last bit."""

    def __init__(self, text: str, layout: DesignLayout, folder: Path | None = None) -> None:
        """Read a booster.

        Args:
            text: LightGBM's own form.
            layout: Columns it was trained on.
            folder: Where what its check found is kept; None to check anew.

        Raises:
            ModelUnavailableError: LightGBM does not take the text, or it was trained on other columns.
        """
        self._text = text
        self._folder = folder
        self._first, self._columns = len(layout.customer), len(layout.columns)
        self._trees, self._problem = _trees(text)
        if self._trees is None:
            self._check_columns(self._booster.num_feature())
        else:
            self._check_columns(self._trees.columns)

    def __call__(self, matrix: FloatArray) -> FloatArray:
        """Of any rows: shape (n, p) in, shape (n,) out; one thread, since LightGBM's default threads collapse."""
        return np.asarray(self._booster.predict(matrix, num_threads=1), dtype=np.float64)

    def on(self, messages: FloatArray) -> PredictShared:
        """Of fixed message rows, shape (r, m)."""
        if self._sets is None:
            return row_by_row(self, self._first, messages)
        return self._sets.for_messages(messages, self._first)

    @cached_property
    def _booster(self) -> "lightgbm.Booster":
        import lightgbm

        try:
            return lightgbm.Booster(model_str=self._text)
        except lightgbm.basic.LightGBMError as error:
            raise ModelUnavailableError(f"booster.txt must be a LightGBM model, got an error: {error}") from error

    @cached_property
    def _sets(self) -> LeafSets | None:
        """Leaf sets that were checked; None where LightGBM must serve."""
        sets, problem = None, self._problem
        if self._trees is not None:
            sets, problem = self._compiled(self._trees)
        if problem is not None:
            _LOG.warning("leaf_sets_not_used", problem=problem, consequence="LightGBM scores, slower")
        return sets if problem is None else None

    def _compiled(self, trees: BoosterTrees) -> tuple[LeafSets | None, str | None]:
        try:
            sets = compile_booster(trees)
            kernels()
        except (UnknownBoosterError, KernelUnavailableError, ImportError) as error:
            return None, str(error)
        return sets, found_difference(self._text, sets, self._folder)

    def _check_columns(self, found: int) -> None:
        if found != self._columns:
            raise ModelUnavailableError(f"booster.txt must have {self._columns} columns, got {found}")


def _trees(text: str) -> tuple[BoosterTrees | None, str | None]:
    try:
        return read_booster_text(text), None
    except UnknownBoosterError as error:
        return None, str(error)
