"""Everything that routes need, put together once per app."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import HTTPConnection

from features.settings import Settings
from serving.api_keys import KeyRing
from serving.care_watch import CareWatch
from serving.decision_service import DecisionService
from serving.intake import Intake
from serving.live_state import LiveState
from serving.metrics import Metrics
from serving.pacing import Pacer
from serving.permits import PermitService
from serving.refreshing import Refresher


@dataclass(slots=True, kw_only=True)
class Engine:
    """The parts of a running server.

    Attributes:
        was_ready: Everything was there at least once; from then on the server only degrades.
    """

    settings: Settings
    now: Callable[[], datetime]
    state: LiveState
    refresher: Refresher
    decisions: DecisionService
    permits: PermitService
    intake: Intake
    keys: KeyRing
    metrics: Metrics
    pacer: Pacer
    care_watch: CareWatch
    was_ready: bool = False


def engine_of(connection: HTTPConnection) -> Engine:
    """The engine of the app that serves a request."""
    return connection.app.state.engine
