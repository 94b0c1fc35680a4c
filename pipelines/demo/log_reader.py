"""What the demo reads from the log, once everything that was answered has reached it."""

from datetime import datetime

from features.chain.audit_chain import open_log
from features.reports.readouts import Readout
from features.settings import Settings
from pipelines.analyses.experiment_analysis import read_logged_experiment
from serving.log.drain import drain_alone, open_redis
from training.experiments.readouts import ReadoutInputs

DRAIN_SECONDS = 20.0


def drain_now(settings: Settings, redis_url: str) -> None:
    """Move everything that was answered into the log, beside the server's own drain.

    Raises:
        UnavailableError: The server's drain stayed at work, or Redis is away.
    """
    with open_redis(redis_url) as redis:
        drain_alone(redis, open_log(settings), settings.spool_path, wait_seconds=DRAIN_SECONDS)


def read_now(settings: Settings, redis_url: str, name: str, now: datetime) -> Readout:
    """Read an experiment, or `holdout`, and store its readout.

    Raises:
        UnknownNameError: The catalogue declares no such experiment.
        UnavailableError: The log could not be brought up to date.
    """
    drain_now(settings, redis_url)
    command = f"nextbest experiment read {name}"
    reading = ReadoutInputs(as_of=now, computed_at=now, command=command, source="the decision log")
    return read_logged_experiment(settings, name, reading)
