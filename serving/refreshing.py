"""Looks for a new catalogue and a new champion while requests are served, and swaps what is in force as one."""

import asyncio
from dataclasses import dataclass

import structlog

from decisioning.errors import InvalidInputError
from serving.catalogue_source import CatalogueSource
from serving.in_force import InForce, put_in_force
from serving.model_source import ModelSource
from serving.problems import Problem

_LOG = structlog.get_logger("nextbest.serving")


@dataclass(slots=True, kw_only=True)
class Refresher:
    """Owner of what is in force.

    Attributes:
        seed: Seed of the draws.
        in_force: The set in use; None before the first catalogue.
        catalogue_problem: Why the catalogue's files as they are now are not in use.
        model_problem: Why the champion is not in use.
    """

    catalogues: CatalogueSource
    models: ModelSource
    seed: str
    in_force: InForce | None = None
    catalogue_problem: str | None = None
    model_problem: str | None = None

    def current(self) -> InForce:
        """The set in use.

        Raises:
            Problem: 503, there was never a catalogue.
        """
        if self.in_force is None:
            raise Problem(
                503, "not_ready", f"a catalogue must be in force, got: {self.catalogue_problem}",
                headers={"Retry-After": "5"},
            )  # fmt: skip
        return self.in_force

    def refresh(self) -> None:
        """Look once; blocks on files and on the registry, so an event loop calls it in a thread."""
        is_new_catalogue, is_new_model = self.catalogues.refresh(), self.models.refresh()
        self.catalogue_problem = self.catalogues.problem
        catalogue = self.catalogues.catalogue
        if catalogue is not None and (is_new_catalogue or is_new_model or self.in_force is None):
            try:
                self._swap(put_in_force(
                    catalogue, seed=self.seed, model=self.models.model, model_problem=self.models.problem
                ))  # fmt: skip
            except InvalidInputError as error:
                self.catalogue_problem = str(error)
        fitting = self.in_force.model_problem if self.in_force is not None else None
        self.model_problem = fitting or self.models.problem

    def _swap(self, new: InForce) -> None:
        """A new model that does not fit leaves the old one in use where the catalogue stayed the same."""
        old = self.in_force
        same_schema = old is not None and old.schema.fingerprint == new.schema.fingerprint
        if old is not None and old.model is not None and new.model is None and same_schema:
            kept = put_in_force(new.catalogue, seed=self.seed, model=old.model)
            self.model_problem = new.model_problem
            self.in_force = kept if kept.model is not None else new
        else:
            self.in_force = new
        _LOG.info(
            "in_force",
            policy_version=self.in_force.policy.version,
            model_version=self.in_force.model.version if self.in_force.model else None,
            model_problem=self.in_force.model_problem,
        )

    async def run(self, every_s: float) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            await asyncio.to_thread(self.refresh)
