"""The HTTP overhead of a request, compared with an older commit: everything but the decision and the protocol parser.

python benchmarks/http_overhead.py --against c1e611c
python benchmarks/http_overhead.py --against c1e611c --json

Requests go straight into the application as a web server passes them on, and decisions, permits and reports are
answered by stubs at once. What remains is routing, access, parsing, validation and writing. Both commits run in their
own processes and take turns, so that a busy machine slows both; ratios are between medians over all turns.
"""

import argparse
import asyncio
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve()
ROOT = HERE.parent.parent
TURNS, REQUESTS = 11, 200
PACKAGES = ("decisioning", "features", "serving", "pipelines")

CATALOGUE = """
currency: EUR
offer_kinds: [points]
event_types: [stamp_paid]
measures: {net_revenue: {unit: money, add: [purchase]}}
learning: {measure: net_revenue, window_days: 7}
goals: {loyalty: {department: marketing}}
stages: [{stage: all, goal: loyalty}]
channels: {email: {cost: 0.01}}
touchpoints: {mail: {channels: [email], context: {basket: number}}}
offers: {double: {goal: loyalty, kind: points, creatives: [{creative: plain, channel: email, content: {headline: Hi}}]}}
"""
ANSWER = {
    "decision_id": "dec_0e63ae81b4e5cc4108b55b273a46f784f0", "customer_id": "C-1", "touchpoint": "mail",
    "decided_at": "2026-11-02T09:30:00+00:00", "action": "send", "reason": "BEST_VALUE", "degraded": False,
    "degraded_reasons": [], "replayed": False, "dry_run": False, "withheld": [],
    "selected": {
        "offer_id": "double", "channel": "email", "creative": "plain",
        "expected_value": {"amount": 1.25, "currency": "EUR"}, "uplift": {"amount": 0.75, "currency": "EUR"},
        "cost": {"amount": 0.01, "currency": "EUR"}, "action_probability": 0.9025, "content": {"headline": "Hi"},
    },
    "action_probability": 0.9025, "slate": [], "retry_at": None, "care": None, "stage": "all", "experiments": [],
    "held_out": False, "model": {"version": "7", "measure": "net_revenue"}, "policy_version": "4f2ad1c09b6e",
    "features_as_of": "2026-11-01T09:30:00+00:00", "ttl_s": 0,
}  # fmt: skip
ASK = {"customer_id": "C-1", "touchpoint": "mail", "context": {"basket": 12.5}, "dedupe_key": "dispatch-88f2"}
AT = "2026-11-01T09:30:00Z"
CASES: dict[str, tuple[str, Any]] = {
    "decision": ("/v1/decisions", ASK),
    "decision with a key": ("/v1/decisions", ASK),
    "batch of 20": ("/v1/decisions/batch", {"requests": [{**ASK, "customer_id": f"C-{n}"} for n in range(20)]}),
    "permit": (f"/v1/decisions/{ANSWER['decision_id']}/permit", None),
    "outcome": (
        "/v1/outcomes",
        {
            "outcomes": [
                {"message_id": "o-1", "decision_id": ANSWER["decision_id"], "type": "clicked", "occurred_at": AT}
            ]
        },
    ),
    "event": (
        "/v1/events",
        {"events": [{"message_id": "e-1", "customer_id": "C-1", "type": "purchase", "occurred_at": AT}]},
    ),
}


class AnswersAtOnce:
    """Replaces the server's parts and does nothing."""

    async def answer_many(self, asks: Any, **_: Any) -> list[dict[str, Any]]:
        """An answer for each ask."""
        return [ANSWER] * len(asks)

    async def answer(self, *_: Any, **__: Any) -> dict[str, Any]:
        """A permit, or one answer."""
        return {"decision_id": ANSWER["decision_id"], "permit": "allowed", "reasons": [], "replayed": False}

    async def taken(self, values: Any, _: Any) -> Any:
        """Everything is accepted."""
        from serving.reports.intake import Report

        return Report(accepted=tuple(range(len(values))), duplicate=(), rejected=())


class Application:
    """The application of a checkout, as its web server sees it."""

    def __init__(self, home: Path) -> None:
        """Build it; nothing is opened."""
        from datetime import UTC, datetime

        from features.settings import Settings
        from serving.http.api_keys import Scope, create_key
        from serving.http.app import create_app
        from serving.logs import log_to_stderr
        from serving.reports.intake import Intake

        log_to_stderr()
        self.apps, self.keys = [], []
        for name in ("open", "locked"):
            settings = Settings(home=home / name, redis_url="redis://127.0.0.1:1/0")
            settings.catalogue_path.mkdir(parents=True)
            (settings.catalogue_path / "catalogue.yaml").write_text(CATALOGUE)
            scopes, now = frozenset({Scope.DECIDE}), datetime.now(UTC)
            if name == "locked":
                self.secret = create_key(settings.keys_path, name="bench", scopes=scopes, now=now).secret
            app = create_app(settings)
            engine = app.state.engine
            engine.refresher.refresh()
            engine.decisions = engine.permits = AnswersAtOnce()
            Intake.outcomes = Intake.events = AnswersAtOnce.taken
            self.apps.append(app)

    def request_of(self, case: str) -> tuple[Any, dict[str, Any], bytes]:
        """The application a case calls, its scope, and its body."""
        path, content = CASES[case]
        body = b"" if content is None else json.dumps(content).encode()
        headers = [
            (b"host", b"127.0.0.1:8000"), (b"user-agent", b"bench"), (b"accept", b"*/*"),
            (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()),
        ]  # fmt: skip
        if "key" in case:
            headers.append((b"authorization", f"Bearer {self.secret}".encode()))
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "POST",
            "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
            "headers": headers, "client": ("127.0.0.1", 50_000), "server": ("127.0.0.1", 8000),
        }  # fmt: skip
        return self.apps["key" in case], scope, body

    async def times_us(self, case: str, count: int) -> list[float]:
        """The time of each of this many requests."""
        app, scope, body = self.request_of(case)
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        times = []
        for _ in range(count):
            sent.clear()
            mine = {**scope, "headers": list(scope["headers"]), "state": {}}
            started = time.thread_time()
            await app(mine, receive, send)
            times.append((time.thread_time() - started) * 1e6)
            assert sent[0]["status"] in (200, 202), sent
        return times


def work(root: str) -> None:
    """Answer lines of `CASE` with the median time, for the code of a checkout."""
    sys.path.insert(0, root)
    with tempfile.TemporaryDirectory() as home, asyncio.Runner() as runner:
        application = Application(Path(home))
        for line in sys.stdin:
            print(median(runner.run(application.times_us(line.strip(), REQUESTS))), flush=True)


class Worker:
    """The application of a checkout, in its own process."""

    def __init__(self, root: Path) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, str(HERE), "--work", str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
            env=os.environ | {"PYTHONPATH": str(root)},
        )

    def median_us(self, case: str) -> float:
        """Median time of a few requests, in microseconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(case, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def stop(self) -> None:
        """End it."""
        self._process.communicate()


def checkout(revision: str, folder: Path) -> Path:
    """The files of a commit, in a folder."""
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", revision, *PACKAGES], stdout=subprocess.PIPE, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def measured(new: Worker, old: Worker) -> dict[str, Any]:
    """Median times of both, and the ratios."""
    raw: dict[str, dict[str, float]] = {}
    for case in CASES:
        turns = [(new.median_us(case), old.median_us(case)) for _ in range(TURNS)][1:]
        raw[case] = {
            "us": round(median(one for one, _ in turns), 1),
            "older_us": round(median(other for _, other in turns), 1),
        }
    return {
        "ratios": {case: round(times["older_us"] / times["us"], 2) for case, times in raw.items()},
        "raw": raw,
        "machine": {"cpu_count": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="REV", default="c1e611c", help="the older commit")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--work", metavar="ROOT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work)
        return
    with tempfile.TemporaryDirectory() as folder:
        workers = Worker(ROOT), Worker(checkout(options.against, Path(folder)))
        try:
            found = measured(*workers)
        finally:
            for worker in workers:
                worker.stop()
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for case, times in found["raw"].items():
        print(f"{case:<20} {times['us']:8.1f} us  {times['older_us']:8.1f} us at {options.against}", end="")
        print(f"  {found['ratios'][case]:6.2f} times faster")


if __name__ == "__main__":
    main()
