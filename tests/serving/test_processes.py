"""`nextbest serve` as a person runs it: real processes and signals, and a log with every answered decision."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
import pytest
import typer
from typer.testing import CliRunner

from decisioning.customer import Customer
from features.catalogue import load_catalogue
from features.log.contracts import DECISIONS
from features.log.event_log import EventLog
from features.models.bundle import write_bundle
from features.settings import Settings
from pipelines.commands import key
from pipelines.server.embedded_redis import redis_for
from tests.waiting import wait_until

NEXTBEST = Path(sys.executable).with_name("nextbest")
CUSTOMERS = [f"C-{n}" for n in range(20)]
START_S = 40.0


def is_there(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass(slots=True)
class Server:
    """A server of one home, started and stopped as its user would."""

    settings: Settings
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *options: str) -> str:
        command = [NEXTBEST, "serve", "--port", "0", "--json", "--home", str(self.settings.home), *options]
        environment = {**os.environ, "NEXTBEST_MLRUNS": str(self.settings.mlruns), "NEXTBEST_DEADLINE_MS": "2000"}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        self.running.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read().decode() if process.stderr else ""
        return orjson.loads(line)["url"]

    def refuse(self, *options: str) -> tuple[int, str]:
        command = [NEXTBEST, "serve", "--home", str(self.settings.home), *options]
        done = subprocess.run(command, capture_output=True, timeout=START_S, check=False)
        return done.returncode, done.stderr.decode()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        return self.running[-1]

    def workers(self) -> list[psutil.Process]:
        children = filter(is_there, psutil.Process(self.process.pid).children())
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)

    def log(self) -> EventLog:
        return EventLog(self.settings.log_path)


@pytest.fixture
def server(tmp_path: Path, shop_files: Path, shop_bundle: Any) -> Iterator[Server]:
    settings = Settings(home=tmp_path / "home", mlruns=tmp_path / "mlruns")
    shutil.copytree(shop_files, settings.catalogue_path)
    folder = settings.models_path / "7-run"
    digest = write_bundle(shop_bundle, folder)
    pointer = {"version": "7", "folder": folder.name, "digest": digest}
    (settings.models_path / "champion.json").write_bytes(orjson.dumps(pointer))
    server = Server(settings=settings)
    yield server
    for process in server.running:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.fixture
def fill(store: Any, server: Server, new_customer: Callable[..., Customer]) -> Callable[[], None]:
    def put() -> None:
        import redis

        with redis_for(server.settings) as url:
            store.client = redis.Redis.from_url(url)
            for name in CUSTOMERS:
                store.put(new_customer(name), at=utc_now())

    return put


def utc_now() -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC)


def load(url: str, answered: dict[str, str], stop: threading.Event, worker: str) -> None:
    """Ask until stopped or until the server is gone; record every answered decision."""
    with httpx.Client(base_url=url, timeout=5) as client:
        for n in range(100_000):
            if stop.is_set():
                return
            ask = {"customer_id": CUSTOMERS[n % 20], "touchpoint": "weekly-mail", "dedupe_key": f"{worker}-{n}"}
            try:
                answer = client.post("/v1/decisions", json=ask)
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            assert answer.status_code == 200, answer.text
            answered[f"{worker}-{n}-{CUSTOMERS[n % 20]}"] = answer.json()["decision_id"]
            time.sleep(0.005)  # leave the processors to starting processes


def under_load(url: str, disturb: Callable[[], object], is_over: Callable[[], bool], name: str) -> dict[str, str]:
    """Disturb a server under load, and keep asking until it is over."""
    answered: dict[str, str] = {}
    stop = threading.Event()
    threads = [threading.Thread(target=load, args=(url, answered, stop, f"{name}{n}")) for n in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(answered) > 60)
    disturb()
    before = len(answered)
    wait_until(lambda: is_over() or len(answered) > before + 50_000)
    stop.set()
    for thread in threads:
        thread.join()
    return answered


def test_a_server_stops_on_a_signal_and_leaves_a_complete_log_and_nothing_running(
    server: Server, fill: Callable[[], None]
) -> None:
    url = server.start()
    fill()
    with httpx.Client(base_url=url) as client:
        assert client.get("/readyz").json()["status"] == "ready", client.get("/readyz").text
        ask = {"customer_id": "C-1", "touchpoint": "weekly-mail"}
        decided = client.post("/v1/decisions", json=ask).json()
        with ThreadPoolExecutor(25) as pool:
            repeated = list(
                pool.map(lambda _: client.post("/v1/decisions", json={**ask, "dedupe_key": "k"}).json(), range(50))
            )
    family = psutil.Process(server.process.pid).children(recursive=True)
    assert family

    assert server.stop(signal.SIGINT) == 0

    assert decided["degraded"] is False
    assert len({one["decision_id"] for one in repeated}) == 1
    assert sum(not one["replayed"] for one in repeated) == 1
    assert server.log().read(DECISIONS).height == 2
    wait_until(lambda: not any(map(is_there, family)))


def test_killing_a_worker_and_then_the_server_under_load_loses_no_answered_decision(
    server: Server, fill: Callable[[], None]
) -> None:
    url = server.start("--workers", "2")
    fill()
    first, second = server.workers()

    answered = under_load(url, first.kill, lambda: not is_there(first) and len(server.workers()) == 2, name="a")
    assert {second.pid} < {one.pid for one in server.workers()}  # the other worker went on, the killed one was replaced

    workers = server.workers()
    answered |= under_load(url, server.process.kill, lambda: not any(map(is_there, workers)), name="b")
    drained = subprocess.run(
        [NEXTBEST, "log", "drain", "--once", "--home", str(server.settings.home)],
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip

    assert drained.returncode == 0, drained.stderr
    logged = server.log().read(DECISIONS)["decision_id"].to_list()
    assert len(logged) == len(set(logged))
    assert set(answered.values()) <= set(logged)
    assert len(answered) > 100


def test_beyond_the_local_machine_a_key_is_needed_to_start_and_to_ask(server: Server, fill: Callable[[], None]) -> None:
    code, words = server.refuse("--host", "0.0.0.0", "--port", "0")
    assert code == 2
    assert "nextbest key create" in words
    keys = typer.Typer()
    keys.add_typer(key.app)
    home = ["--home", str(server.settings.home)]
    made = CliRunner().invoke(keys, ["key", "create", "--name", "a", "--scope", "admin", "--json", *home])
    secret = orjson.loads(made.stdout)["key"]

    url = server.start("--host", "0.0.0.0", "--workers", "2")
    fill()

    with httpx.Client(base_url=url) as client:
        headers = {"X-API-Key": secret}
        assert client.get("/v1/me").status_code == 401
        for n in range(12):
            ask = {"customer_id": CUSTOMERS[n], "touchpoint": "weekly-mail"}
            assert httpx.post(f"{url}/v1/decisions", json=ask, headers=headers).status_code == 200
        counted = [line for line in client.get("/metrics", headers=headers).text.splitlines()
                   if line.startswith("nextbest_decisions_total")]  # fmt: skip
        assert sum(float(line.split()[-1]) for line in counted) == 12  # across both workers
        assert CliRunner().invoke(keys, ["key", "revoke", "a", *home]).exit_code == 0
        time.sleep(1.0)
        assert client.get("/v1/me", headers=headers).status_code == 401
    assert server.stop() == 0


def lines_about(url: str, name: str) -> list[str]:
    """Lines of one metric in a scrape; a new connection each time, so that either worker may answer."""
    return [line for line in httpx.get(f"{url}/metrics").text.splitlines() if line.startswith(f"nextbest_{name}")]


def test_two_workers_report_one_model_and_redis_up_from_the_first_scrape(server: Server, new_bundle: Any) -> None:
    url = server.start("--workers", "2")

    assert lines_about(url, "redis_up") == ["nextbest_redis_up 1.0"]
    assert lines_about(url, "model_info") == ['nextbest_model_info{version="7"} 1.0']

    settings = server.settings
    folder = settings.models_path / "8-run"
    digest = write_bundle(new_bundle(load_catalogue(settings.catalogue_path), seed=9), folder)
    pointer = {"version": "8", "folder": folder.name, "digest": digest}
    (settings.models_path / "champion.json").write_bytes(orjson.dumps(pointer))
    ends_at, seen = time.monotonic() + START_S, list[list[str]]()
    while seen[-12:] != [['nextbest_model_info{version="8"} 1.0']] * 12:
        assert time.monotonic() < ends_at, seen[-12:]
        seen.append(lines_about(url, "model_info"))
        time.sleep(0.05)

    assert all(len(one) == 1 for one in seen)


def test_a_worker_killed_while_redis_was_down_does_not_keep_reporting_it_down(tmp_path: Path) -> None:
    start = (
        f"from pathlib import Path; from serving.metrics import Metrics; numbers = Metrics(Path({str(tmp_path)!r}));"
    )
    killed = f"{start} numbers.set_redis_up(is_up=False)"
    living = f"{start} numbers.set_redis_up(is_up=True); print(numbers.exposition().decode())"

    for script in (killed, living):
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)

    assert b"nextbest_redis_up 1.0" in done.stdout


def test_a_taken_port_and_a_missing_catalogue_are_reported_in_one_sentence(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, words = server.refuse("--port", str(taken.getsockname()[1]))
        assert (code, "--port" in words, "Traceback" in words) == (2, True, False)
    shutil.rmtree(server.settings.catalogue_path)
    code, words = server.refuse("--port", "0")
    assert (code, "catalogue" in words, "Traceback" in words) == (2, True, False)
