"""The demo from beginning to end."""

import signal
from collections.abc import Callable
from datetime import datetime

import httpx
from rich.console import Console

from decisioning.decision import Decision
from decisioning.errors import InvalidInputError
from decisioning.record import decision_from_record
from features.audit_chain import open_log
from features.catalogue import load_catalogue
from features.contracts import CUSTOMERS
from features.log import EventLog
from features.readouts import Readout
from features.settings import Settings
from pipelines.demo.conversation import Conversation, converse
from pipelines.demo.preparation import Preparation, run_steps
from pipelines.demo.report import print_invitation, print_report
from pipelines.demo.running_server import running_server, wait_until_ready
from pipelines.embedded_redis import redis_for
from pipelines.experiment_reading import read_logged_experiment
from pipelines.options import progress_bar, say
from serving.decision_log import drain_alone, open_redis
from training.readouts import Reading

CUSTOMERS_ASKED = 300
EXAMPLES_WITHOUT_DATA = ("grocery",)
DRAIN_SECONDS = 20.0
CALL_SECONDS = 10.0


def show(settings: Settings, example: str, *, stay: bool, clock: Callable[[], datetime]) -> None:
    """Run every step, then talk to the server and tell what happened.

    Args:
        settings: Where state goes and where the server listens.
        example: An example that needs nothing but the installed packages.
        stay: Leave the server up until Ctrl-C.
        clock: The clock.

    Raises:
        InvalidInputError: An example that needs data of the user's.
    """
    if example not in EXAMPLES_WITHOUT_DATA:
        raise InvalidInputError(
            f"example must be one of {', '.join(EXAMPLES_WITHOUT_DATA)} here, got {example!r}: others need a folder "
            "of yours, see `nextbest example list`"
        )
    console = Console(highlight=False)
    with redis_for(settings) as redis_url:
        preparation = Preparation(settings=settings, example=example, redis_url=redis_url, now=clock())
        with progress_bar() as bar:
            run_steps(preparation.steps(), bar)
        with running_server(settings) as url, httpx.Client(base_url=url, timeout=CALL_SECONDS) as client:
            wait_until_ready(client)
            asks = _asks(settings)
            talk = _talk(client, asks, clock)
            readout = _read_experiment(settings, redis_url, clock())
            catalogue = load_catalogue(settings.catalogue_path)
            print_report(console, talk, _recorded(client, talk), readout, catalogue)
            print_invitation(console, url, str(asks[0]["customer_id"]))
            if stay:
                _stay(console)


def _asks(settings: Settings) -> list[dict[str, object]]:
    """What campaign tools would ask: every touchpoint of the catalogue for customers spread over the log."""
    catalogue = load_catalogue(settings.catalogue_path)
    log = EventLog(settings.log_path)
    customers = log.read(CUSTOMERS, columns=["customer_id"])["customer_id"].unique().sort()
    chosen = customers.gather_every(max(1, len(customers) // CUSTOMERS_ASKED)).head(CUSTOMERS_ASKED)
    contexts = {
        name: {"basket_value": 42.0} if "basket_value" in touchpoint.context else {}
        for name, touchpoint in catalogue.touchpoints.items()
    }
    return [
        {"customer_id": customer, "touchpoint": touchpoint, "context": context}
        for customer in chosen
        for touchpoint, context in sorted(contexts.items())
    ]


def _talk(client: httpx.Client, asks: list[dict[str, object]], clock: Callable[[], datetime]) -> Conversation:
    with progress_bar() as bar:
        task = bar.add_task("decisions over HTTP", total=len(asks))
        return converse(client, asks, now=clock, on_progress=lambda done: bar.update(task, completed=done))


def _recorded(client: httpx.Client, talk: Conversation) -> Decision:
    """The stored record of one decision, of one that sent something where there is one."""
    answer = (talk.sent or talk.answers)[0]
    record = client.get(f"/v1/decisions/{answer['decision_id']}").raise_for_status().json()
    return decision_from_record(record)


def _read_experiment(settings: Settings, redis_url: str, now: datetime) -> Readout:
    """The running experiment, once everything that was answered has reached the log."""
    with open_redis(redis_url) as redis:
        drain_alone(redis, open_log(settings), settings.spool_path, wait_seconds=DRAIN_SECONDS)
    experiment = load_catalogue(settings.catalogue_path).experiments[0].experiment_id
    command = f"nextbest experiment read {experiment}"
    reading = Reading(as_of=now, computed_at=now, command=command, source="the decision log")
    return read_logged_experiment(settings, experiment, reading)


def _stay(console: Console) -> None:
    console.print("\nthe server is up; Ctrl-C stops everything")
    try:
        signal.pause()
    except KeyboardInterrupt:
        say("stopped")
