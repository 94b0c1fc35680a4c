"""The web application: `create_app` puts the parts together, the lifespan starts and stops them."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path

from fastapi import Depends, FastAPI

from features.clock import Clock, clock_of
from features.models.logged_decisions import LoggedDecisions
from features.models.policy_archive import PolicyArchive
from features.models.registry import fetch_champion
from features.settings import Settings
from features.zone_rules import rules_in_force, use_newest_rules, warn_of_old_rules
from serving.console.routes import console_routes
from serving.decisions.orchestrator import Orchestrator
from serving.decisions.permits import Permits
from serving.decisions.records import DecisionRecords
from serving.decisions.silence import SilentAnswers
from serving.http import api_docs, problems
from serving.http.access import Needs
from serving.http.api_keys import KeyRing, Scope
from serving.http.engine import Engine
from serving.http.lean import LeanRoutes
from serving.http.middleware import Edge
from serving.http.routes import about, customers, decisions, explanations, health, known, permits, reports
from serving.in_force.catalogue_source import CatalogueSource
from serving.in_force.model_source import LocalModel, ModelSource
from serving.in_force.refresher import Refresher
from serving.live.redis_address import redis_url_of
from serving.live.store import LiveStore
from serving.log.spool import Spool
from serving.metrics import Metrics
from serving.reports.intake import Intake
from serving.watch.care_watch import CareWatch
from serving.watch.pacing import Pacer
from serving.watch.residual_watch import ResidualWatch
from serving.watch.rollout_watch import RolloutWatch

REFRESH_EVERY_S = 2.0
OBSERVE_EVERY_S = 1.0


def create_app(
    settings: Settings,
    *,
    fetch_model: Callable[[], LocalModel] | None = None,
    fetch_arm: Callable[[str], LocalModel] | None = None,
    now: Clock | None = None,
    refresh_every_s: float = REFRESH_EVERY_S,
    metrics_path: Path | None = None,
    owns_process: bool = False,
) -> FastAPI:
    """The web application on the given settings; nothing is opened before it starts.

    Args:
        settings: Where everything is. `redis_url` names the Redis; who starts an embedded one puts its URL there.
        fetch_model: Gives the champion's local copy; default is the model registry.
        fetch_arm: Gives the local copy of the model that an experiment arm names by its alias; default as above.
        now: The clock; default the one that the settings name.
        refresh_every_s: How often to look for a new catalogue and a new champion.
        metrics_path: Folder in which worker processes add their numbers up; None for one process.
        owns_process: The process serves this app and does nothing else, so what start loads stays out of garbage
            collection: looking through it takes a tenth of a second, again and again, while requests wait.
    """
    app = FastAPI(
        title="Nextbest",
        version="1",
        description="Decides which message to send a customer next, or that silence is better.",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(refresh_every_s, owns_process=owns_process),
    )
    use_newest_rules()
    clock = now or clock_of(settings)
    refresher = Refresher(
        catalogues=CatalogueSource(folder=settings.catalogue_path),
        models=ModelSource(fetch=fetch_model or (lambda: fetch_champion(settings))),
        fetch_arm=fetch_arm or (lambda alias: fetch_champion(settings, alias)),
        settings=settings,
        archive=PolicyArchive(settings.catalogues_path),
        now=clock,
    )
    app.state.engine = _engine(
        settings, refresher, clock, Metrics(metrics_path, settings.drift_path, settings.kpis_path)
    )
    problems.install(app)
    routers = [one.router for one in (decisions, permits, explanations, reports, customers, known, about, health)]
    for router in routers:
        app.include_router(router)
    api_docs.install(app)
    app.include_router(console_routes(settings, [Depends(Needs(Scope.READ))]))
    app.add_middleware(Edge, lean=LeanRoutes(routers))
    return app


def app_from_environment() -> FastAPI:
    """The application with settings from the environment: `uvicorn --factory serving.http.app:app_from_environment`."""
    return create_app(Settings(), owns_process=True)


def _engine(settings: Settings, refresher: Refresher, now: Callable[[], datetime], metrics: Metrics) -> Engine:
    state = LiveStore.of(settings, redis_url_of(settings))
    silence = SilentAnswers(state=state, spool=Spool(settings.spool_path), decided=metrics.decided)
    records = DecisionRecords(
        state=state,
        log_path=settings.log_path,
        logged=LoggedDecisions(settings, refresher.archive),
        redis_s=settings.deadline_ms / 1000,
    )
    rollout_watch = RolloutWatch(url=redis_url_of(settings), metrics=metrics)
    return Engine(
        settings=settings,
        now=now,
        state=state,
        refresher=refresher,
        records=records,
        decisions=Orchestrator(
            state=state,
            in_force=refresher.current,
            counts=metrics,
            silence=silence,
            records=records,
            onlooker=rollout_watch,
        ),
        permits=Permits(state=state, records=records, in_force=refresher.current, now=now, metrics=metrics),
        intake=Intake(state=state, log_path=settings.log_path, now=now),
        keys=KeyRing(settings.keys_path),
        metrics=metrics,
        pacer=Pacer(redis_url_of(settings), in_force=refresher.current, now=now, metrics=metrics),
        care_watch=CareWatch(url=redis_url_of(settings), metrics=metrics),
        rollout_watch=rollout_watch,
        residual_watch=ResidualWatch(url=redis_url_of(settings), refresher=refresher, metrics=metrics, now=now),
    )


def _lifespan(refresh_every_s: float, *, owns_process: bool) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine: Engine = app.state.engine
        warn_of_old_rules(rules_in_force(), engine.now())
        await asyncio.gather(engine.state.start(), asyncio.to_thread(engine.refresher.refresh))
        if owns_process:
            gc.collect()
            gc.freeze()
        observing = asyncio.create_task(_observe(engine), name="observer")
        refreshing = asyncio.create_task(engine.refresher.run(refresh_every_s), name="refresher")
        pacing = asyncio.create_task(engine.pacer.run(), name="pacer")
        watching = asyncio.create_task(engine.care_watch.run(), name="care watch")
        following = asyncio.create_task(engine.rollout_watch.run(), name="rollout watch")
        learning = asyncio.create_task(engine.residual_watch.run(), name="residual watch")
        try:
            yield
        finally:
            for task in (observing, refreshing, pacing, watching, following, learning):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await engine.state.stop()

    return lifespan


async def _observe(engine: Engine) -> None:
    """Note again and again whether Redis is there: a scrape asks one worker, and is about all of them."""
    while True:
        engine.metrics.set_redis_up(is_up=engine.state.is_up)
        await asyncio.sleep(OBSERVE_EVERY_S)
