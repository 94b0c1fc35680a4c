"""Looks for a new catalogue and a new champion while requests are served, and swaps what is in force as one."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import (
    FeatureUnavailableError,
    InvalidInputError,
    LogUnavailableError,
    ModelUnavailableError,
)
from decisioning.value_model import ValueModel
from features.catalogue.assignment.settlement import settle
from features.clock import Clock, wall_clock
from features.computing.feature_schema import FeatureSchema
from features.models.catalogue_needs import Need, needs_of
from features.models.policy_archive import PolicyArchive
from features.models.rollout import ROLLOUT_ALIAS, Rollout, read_rollout
from features.models.schema_archive import built_schema, is_unbuilt, keep_schema, known_schemas
from features.online.residuals import ResidualSnapshot
from features.settings import Settings
from serving.background import survive
from serving.errors import NotReadyError
from serving.in_force.catalogue_source import CatalogueSource
from serving.in_force.model_source import LocalModel, ModelSource
from serving.in_force.policy_in_force import InForce, arm_aliases, put_in_force

_LOG = structlog.get_logger("nextbest.serving")


@dataclass(slots=True, kw_only=True)
class Refresher:
    """Owner of what is in force.

    Attributes:
        fetch_arm: Gives the local copy of the model that an experiment arm names by its alias.
        settings: Where schemas and features are, and the seed of the draws.
        in_force: The set in use; None before the first catalogue.
        catalogue_problem: Why the catalogue's files as they are now are not in use.
        model_problem: Why the champion is not in use.
        archive: Keeps every policy that was in force; None to keep none.
        now: The clock, for the assignment ledger.
        needs: What the catalogue in force waits for.
        residuals: What outcomes since training say; the next refresh puts it in force.
    """

    catalogues: CatalogueSource
    models: ModelSource
    fetch_arm: Callable[[str], LocalModel]
    settings: Settings
    in_force: InForce | None = None
    catalogue_problem: str | None = None
    model_problem: str | None = None
    archive: PolicyArchive | None = None
    now: Clock = wall_clock
    needs: tuple[Need, ...] = ()
    residuals: ResidualSnapshot | None = None
    _known: dict[str, FeatureSchema] = field(default_factory=dict[str, FeatureSchema], init=False)
    _kept: str | None = field(default=None, init=False)
    _looked_at: str | None = field(default=None, init=False)
    _rollout: Rollout | None = field(default=None, init=False)
    _learned: ResidualSnapshot | None = field(default=None, init=False)
    _arms: dict[str, ModelSource] = field(default_factory=dict[str, ModelSource], init=False)

    def current(self) -> InForce:
        """The set in use.

        Raises:
            NotReadyError: There was never a catalogue.
        """
        if self.in_force is None:
            raise NotReadyError(f"a catalogue must be in force, got: {self.catalogue_problem}")
        return self.in_force

    def refresh(self) -> None:
        """Look once; blocks on files and on the registry, so an event loop calls it in a thread."""
        is_new_catalogue, is_new_model = self.catalogues.refresh(), self.models.refresh()
        self.catalogue_problem = self.catalogues.problem
        catalogue = self.catalogues.catalogue
        is_new_rollout = self._look_for_rollout()
        aliases = frozenset() if self._rollout is None else frozenset({ROLLOUT_ALIAS})
        is_new_arm = (catalogue is not None and self._refresh_arms(arm_aliases(catalogue) | aliases)) or is_new_rollout
        if catalogue is not None and (is_new_catalogue or is_new_model or is_new_arm or self.in_force is None):
            try:
                self._swap(catalogue)
            except InvalidInputError as error:
                self.catalogue_problem = str(error)
        fitting = self.in_force.model_problem if self.in_force is not None else None
        self.model_problem = fitting or self.models.problem
        self._keep()
        self._learn()
        self._note_needs()

    def _learn(self) -> None:
        """Put the newest residuals in force, if they are others than before."""
        newest = self.residuals
        if self.in_force is not None and newest is not self._learned:
            self.in_force = self.in_force.learning_from(newest)
            self._learned = newest

    def _swap(self, catalogue: Catalogue) -> None:
        """Put the newest model in force; where it does not fit, the one in use stays, if that one does."""
        self._know_schemas()
        old = self.in_force.fit.trained if self.in_force is not None and self.in_force.fit is not None else None
        new = self._compiled(catalogue, self.models.model, self.models.problem)
        if new.model is None and old is not None:
            kept = self._compiled(catalogue, old, None)
            new = replace(kept, model_problem=new.model_problem) if kept.model is not None else new
        self.in_force = new.learning_from(self.residuals)
        _LOG.info(
            "in_force",
            policy_version=new.policy.version,
            model_version=new.model.version if new.model else None,
            model_problem=new.model_problem,
            arm_problems=dict(new.arm_problems),
        )

    def _compiled(self, catalogue: Catalogue, model: ValueModel | None, model_problem: str | None) -> InForce:
        arms, problems = self._arm_models()
        return put_in_force(
            catalogue,
            is_cold_start=self.models.is_cold_start,
            seed=self.settings.policy_seed,
            model=model,
            model_problem=model_problem,
            arm_models=arms,
            arm_problems=problems,
            known=self._known,
        ).beside(self._rollout)

    def _look_for_rollout(self) -> bool:
        """Whether another rollout is under way than before; a file that cannot be read is none."""
        before = self._rollout
        try:
            self._rollout = read_rollout(self.settings)
        except ModelUnavailableError as error:
            self._rollout = None
            _LOG.error("rollout_not_read", problem=str(error))
        return self._rollout != before

    def _refresh_arms(self, aliases: frozenset[str]) -> bool:
        """Look for the models of the arms; True where one is another than before, gone or away included."""
        before = self._arm_models()
        self._arms = {
            alias: self._arms.get(alias) or ModelSource(fetch=partial(self.fetch_arm, alias))
            for alias in sorted(aliases)
        }
        refreshed = [source.refresh() for source in self._arms.values()]  # every one, so no lazy any()
        return any(refreshed) or self._arm_models() != before

    def _arm_models(self) -> tuple[Mapping[str, ValueModel], Mapping[str, str]]:
        """Models of the arms by alias, and why the others are missing."""
        models = {alias: source.model for alias, source in self._arms.items() if source.model is not None}
        problems = {alias: source.problem or "" for alias, source in self._arms.items() if source.model is None}
        return models, problems

    def _know_schemas(self) -> None:
        """Learn of the schemas that records in Redis may still have; one that was known here is never forgotten."""
        self._known |= known_schemas(self.settings)
        if self.in_force is not None:
            self._known[self.in_force.schema.fingerprint] = self.in_force.schema

    def _note_needs(self) -> None:
        """Check what the catalogue in force waits for, and log it if it changed."""
        if self.in_force is None:
            return
        needs = needs_of(
            self.in_force.catalogue,
            built=built_schema(self.settings),
            fit=self.in_force.fit,
            is_unbuilt=is_unbuilt(self.settings),
        )
        if needs != self.needs:
            self.needs = needs
            _LOG.info("catalogue_waits_for", needs=[need.words for need in needs])

    def _keep(self) -> None:
        """Keep what decides now, so that its decisions can be replayed; a full disk stops no decision."""
        if self.archive is None or self.in_force is None:
            return
        policy = self.in_force.policy
        if policy.version != self._looked_at:
            self._archive_policy(self.archive, self.in_force)
        if policy.version == self._kept and not self.in_force.vocabularies:
            self.in_force = self.in_force.archived()

    def _archive_policy(self, archive: PolicyArchive, in_force: InForce) -> None:
        version = in_force.policy.version
        try:
            settle(self.catalogues.folder, self.now())
        except (InvalidInputError, OSError) as error:
            _LOG.error("ledger_not_written", policy_version=version, problem=str(error))
        try:
            is_kept = archive.keep(self.catalogues.folder, in_force.policy)
            keep_schema(self.settings, in_force.schema)
        except (LogUnavailableError, FeatureUnavailableError) as error:
            _LOG.error("policy_not_kept", policy_version=version, problem=str(error))
            return
        self._looked_at = version
        self._kept = version if is_kept else None

    async def run(self, every_s: float) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            await survive(lambda: asyncio.to_thread(self.refresh), "refresh_failed")
