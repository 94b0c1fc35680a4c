"""Everything that routes need, put together once per app."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import HTTPConnection

from features.settings import Settings
from serving.decisions.orchestrator import Orchestrator
from serving.decisions.permits import Permits
from serving.decisions.records import DecisionRecords
from serving.http.api_keys import KeyRing
from serving.in_force.refresher import Refresher
from serving.live.store import LiveStore
from serving.metrics import Metrics
from serving.reports.intake import Intake
from serving.watch.care_watch import CareWatch
from serving.watch.pacing import Pacer
from serving.watch.residual_watch import ResidualWatch
from serving.watch.rollout_watch import RolloutWatch


@dataclass(slots=True, kw_only=True)
class Engine:
    """The parts of a running server.

    Attributes:
        was_ready: Everything was available at least once; from then on the server only degrades.
    """

    settings: Settings
    now: Callable[[], datetime]
    state: LiveStore
    refresher: Refresher
    records: DecisionRecords
    decisions: Orchestrator
    permits: Permits
    intake: Intake
    keys: KeyRing
    metrics: Metrics
    pacer: Pacer
    care_watch: CareWatch
    rollout_watch: RolloutWatch
    residual_watch: ResidualWatch
    was_ready: bool = False


def engine_of(connection: HTTPConnection) -> Engine:
    """The engine of the app that serves a request."""
    return connection.app.state.engine
