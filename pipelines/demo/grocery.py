"""The demo on a year of real grocery purchases: every step real, but for the customers' reactions."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import httpx
from rich.console import Console

from decisioning.decision import Decision
from decisioning.record.document import decision_from_record
from examples.registry import convert_example
from features.catalogue import load_catalogue
from features.log.contracts import CUSTOMERS
from features.log.event_log import EventLog
from features.progress import OnProgress
from features.settings import Settings
from pipelines.demo.conversation import CampaignTally, converse
from pipelines.demo.log_reader import read_now
from pipelines.demo.preparation import Preparation, check_home, run_steps
from pipelines.demo.report import print_invitation, print_report
from pipelines.demo.running_server import running_server, stay_up, wait_until_ready
from pipelines.demo.traffic import Item
from pipelines.options import progress_bar, progress_of
from pipelines.server.embedded_redis import redis_for

EXAMPLE = "grocery"
CUSTOMERS_ASKED = 300
CALL_SECONDS = 10.0


def show_grocery(settings: Settings, *, stay: bool, clock: Callable[[], datetime]) -> None:
    """Run every step, then talk to the server and tell what happened.

    Raises:
        InvalidInputError: The home holds something else.
    """
    console = Console(highlight=False)
    check_home(settings, EXAMPLE)
    with redis_for(settings) as redis_url:
        with progress_bar() as bar:
            run_steps(_preparation(settings, redis_url, clock()).steps(), bar)
        with running_server(settings) as url, httpx.Client(base_url=url, timeout=CALL_SECONDS) as client:
            wait_until_ready(client)
            asks = _asks(settings)
            talk = _talk(client, asks, clock)
            catalogue = load_catalogue(settings.catalogue_path)
            readout = read_now(settings, redis_url, catalogue.experiments[0].experiment_id, clock())
            print_report(console, talk, _recorded(client, talk), readout, catalogue)
            print_invitation(console, url, str(asks[0]["customer_id"]))
            if stay:
                stay_up(console)


def _preparation(settings: Settings, redis_url: str, now: datetime) -> Preparation:
    def write(out: Path, _on_progress: OnProgress) -> Mapping[str, int]:
        return convert_example(EXAMPLE, Path("installed"), out, {"ends_on": now.date()}).rows

    return Preparation(
        settings=settings, example=EXAMPLE, source="the raw data", write=write, redis_url=redis_url, now=now
    )


def _asks(settings: Settings) -> list[Item]:
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


def _talk(client: httpx.Client, asks: list[Item], clock: Callable[[], datetime]) -> CampaignTally:
    with progress_of("decisions over HTTP") as tell:
        return converse(client, asks, now=clock, on_progress=tell)


def _recorded(client: httpx.Client, talk: CampaignTally) -> Decision:
    """The stored record of one decision, of one that sent something where there is one."""
    answer = (talk.sent or talk.answers)[0]
    record = client.get(f"/v1/decisions/{answer['decision_id']}").raise_for_status().json()
    return decision_from_record(record)
