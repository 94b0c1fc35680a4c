"""Looks for a new catalogue and a new champion while requests are served, and swaps what is in force as one."""

import asyncio
from dataclasses import dataclass, replace

import structlog

from decisioning.catalogue import Catalogue
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
                self._swap(catalogue)
            except InvalidInputError as error:
                self.catalogue_problem = str(error)
        fitting = self.in_force.model_problem if self.in_force is not None else None
        self.model_problem = fitting or self.models.problem

    def _swap(self, catalogue: Catalogue) -> None:
        """Put the newest model in force; where it does not fit, the one in use stays, if that one does."""
        old = self.in_force.model if self.in_force is not None else None
        new = put_in_force(catalogue, seed=self.seed, model=self.models.model, model_problem=self.models.problem)
        if new.model is None and old is not None:
            kept = put_in_force(catalogue, seed=self.seed, model=old)
            new = replace(kept, model_problem=new.model_problem) if kept.model is not None else new
        self.in_force = new
        _LOG.info(
            "in_force",
            policy_version=new.policy.version,
            model_version=new.model.version if new.model else None,
            model_problem=new.model_problem,
        )

    async def run(self, every_s: float) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await asyncio.to_thread(self.refresh)
            except Exception as error:  # noqa: BLE001 - an edge of its own: nobody above would hear of it
                _LOG.error("refresh_failed", exc_info=error)
