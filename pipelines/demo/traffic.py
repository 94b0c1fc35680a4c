"""What goes over HTTP between the campaign tools of the demo and the running server."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import batched
from time import perf_counter, sleep
from typing import Any

import httpx
import numpy as np

from decisioning.errors import UnavailableError

ASKED_PER_CALL = 100
REPORTED_PER_CALL = 500
TRIES = 10
PAUSE_S = 1.0

type Item = dict[str, Any]


@dataclass(slots=True)
class Traffic:
    """Asks and reports, and counts what they cost.

    Attributes:
        decided: Decisions that were answered.
        deciding_seconds: How long the callers waited for them.
        latencies_ms: Time of each decision that was asked for alone.
        reported: Events and outcomes that the server took.
    """

    client: httpx.Client
    decided: int = 0
    deciding_seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list[float])
    reported: int = 0

    @property
    def decisions_per_second(self) -> float:
        """Decisions a second of waiting."""
        return self.decided / self.deciding_seconds if self.deciding_seconds else 0.0

    def latency_ms(self, share: float) -> float:
        """Milliseconds that `share` of the decisions asked for alone stayed within; NaN before the first."""
        return float(np.quantile(self.latencies_ms, share)) if self.latencies_ms else float("nan")

    def ask(self, body: Item) -> Item:
        """One decision, as a service moment asks for it.

        Raises:
            httpx.HTTPError: The server refused or did not answer.
        """
        started = perf_counter()
        answer = self._posted("/v1/decisions", body)
        seconds = perf_counter() - started
        self._count(1, seconds)
        self.latencies_ms.append(seconds * 1000)
        return answer

    def ask_all(self, bodies: Iterable[Item], on_answers: Callable[[Sequence[Item]], None]) -> None:
        """A decision for everybody, as a weekly campaign asks for them; told as they come.

        Raises:
            httpx.HTTPError: The server refused or did not answer.
            UnavailableError: It refused one of them.
        """
        for asked in batched(bodies, ASKED_PER_CALL):
            started = perf_counter()
            results = self._posted("/v1/decisions/batch", {"requests": asked})["results"]
            self._count(len(results), perf_counter() - started)
            on_answers([_decision_of(result) for result in results])

    def report(self, table: str, items: Sequence[Item]) -> None:
        """Report `events` or `outcomes`; sending one again changes nothing.

        Raises:
            httpx.HTTPError: The server refused or did not answer.
            UnavailableError: It refused one of them.
        """
        for part in batched(items, REPORTED_PER_CALL):
            report = self._posted(f"/v1/{table}", {table: part})
            if report["rejected"]:
                first = report["rejected"][0]
                raise UnavailableError(f"{table} of the demo must be taken, got a refusal: {first['detail']}")
            self.reported += report["accepted"]

    def _posted(self, path: str, body: Item) -> Item:
        """The answer; what is put off for a moment (503) is sent again, which decides and counts nothing twice."""
        response = self.client.post(path, json=body)
        for _ in range(TRIES - 1):
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            sleep(float(response.headers.get("Retry-After", PAUSE_S)))
            response = self.client.post(path, json=body)
        return response.raise_for_status().json()

    def _count(self, decided: int, seconds: float) -> None:
        self.decided += decided
        self.deciding_seconds += seconds


def _decision_of(result: Item) -> Item:
    if result["status"] != httpx.codes.OK:
        raise UnavailableError(f"decisions of the demo must be answered, got a refusal: {result['problem']['detail']}")
    return result["decision"]
