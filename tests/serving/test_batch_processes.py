"""A batch is killed, runs out of memory or meets a slow Redis: nothing is lost, duplicated or left running."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import redis

from decisioning.customer import Customer
from decisioning.errors import UnavailableError
from features.log.contracts import DECISIONS
from features.log.event_log import EventLog
from features.settings import Settings
from pipelines.batch import crew
from pipelines.batch import run as batch
from pipelines.batch.run import BatchPlan, ModelCopy, decide_audience
from serving.log.drain import drain_alone
from tests.waiting import wait_until

COUNT = 6_000
RUN = """
import sys
from pathlib import Path
from features.settings import Settings
from pipelines.batch.run import BatchPlan, ModelCopy, decide_audience

if __name__ == "__main__":
    home, url, audience, out, model = sys.argv[1:]
    settings = Settings(home=Path(home), redis_url=url)
    plan = BatchPlan(audience=Path(audience), out=Path(out), touchpoint_id="weekly-mail", key="w45", workers=2)
    copy = ModelCopy(folder=Path(model), version="7")
    print(decide_audience(plan, settings, redis_url=url, model=copy).replayed)
"""


@pytest.fixture
def town(own_redis: Any, store: Any, new_customer: Callable[..., Customer]) -> list[str]:
    store.client = own_redis.client
    known = [store.put(new_customer(f"C-{n}")) for n in range(200)]
    return [*known, *(f"nobody-{n}" for n in range(COUNT - len(known)))]


@pytest.fixture
def command(
    town: list[str], settings: Settings, own_redis: Any, registry: Any, tmp_path: Path
) -> Callable[[], subprocess.Popen[str]]:
    pl.DataFrame({"customer_id": town}).write_parquet(tmp_path / "audience.parquet")
    (tmp_path / "command.py").write_text(RUN)
    told = [settings.home, own_redis.url, tmp_path / "audience.parquet", tmp_path / "out.parquet"]
    words = [sys.executable, str(tmp_path / "command.py"), *map(str, told), str(registry.champion.folder)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return lambda: subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)


def logged(own_redis: Any, settings: Settings) -> int:
    log = EventLog(settings.log_path)
    drain_alone(own_redis.client, log, settings.spool_path, wait_seconds=5)
    return len(log.read(DECISIONS)) if log.file_count(DECISIONS) else 0


def test_a_killed_batch_resumes_where_it_stopped_and_leaves_no_process_behind(
    command: Callable[[], subprocess.Popen[str]], own_redis: Any, settings: Settings, tmp_path: Path, town: list[str]
) -> None:
    first = command()
    wait_until(lambda: streamed(own_redis.client) > 500, seconds=60)
    workers = children_of(first.pid)
    first.send_signal(signal.SIGKILL)
    first.wait()
    wait_until(lambda: not any(map(is_running, workers)), seconds=20)
    before = logged(own_redis, settings)

    again = command()
    replayed = int(again.communicate(timeout=120)[0])

    assert len(workers) >= 2
    assert replayed == before < COUNT
    rows = pl.read_parquet(tmp_path / "out.parquet")
    assert rows["customer_id"].to_list() == town
    assert logged(own_redis, settings) == COUNT
    decisions = EventLog(settings.log_path).read(DECISIONS)
    assert set(Counter(decisions["customer_id"]).values()) == {1}
    assert set(rows["decision_id"]) == set(decisions["decision_id"])


def streamed(client: redis.Redis) -> int:
    from features.online.redis_keys import SHARD_COUNT, stream_key

    return sum(int(client.xlen(stream_key(shard))) for shard in range(SHARD_COUNT))  # pyright: ignore[reportArgumentType]


def children_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(entry.name))
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def plan(town: list[str], tmp_path: Path) -> BatchPlan:
    pl.DataFrame({"customer_id": town[:600]}).write_parquet(tmp_path / "some.parquet")
    return BatchPlan(audience=tmp_path / "some.parquet", out=tmp_path / "out.parquet", touchpoint_id="weekly-mail")


def test_a_redis_that_does_not_answer_for_a_while_does_not_end_a_batch(
    plan: BatchPlan, own_redis: Any, settings: Settings, registry: Any
) -> None:
    """A fork, an append-only file rewrite or a slow disk takes seconds."""

    def freeze() -> None:
        wait_until(lambda: streamed(own_redis.client) > 0, seconds=20)
        own_redis.send(signal.SIGSTOP)
        time.sleep(1.5)
        own_redis.send(signal.SIGCONT)

    freezing = threading.Thread(target=freeze)
    freezing.start()
    model = ModelCopy(folder=registry.champion.folder, version="7")
    report = decide_audience(plan, settings, redis_url=own_redis.url, model=model)
    freezing.join()

    assert report.decided == 600


def test_a_process_that_ends_unexpectedly_is_named(
    plan: BatchPlan, own_redis: Any, settings: Settings, registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "SMALL", 0)
    model = ModelCopy(folder=registry.champion.folder, version="7")
    send = crew._send

    def kill_then_send(one: Any, task: Any) -> None:
        send(one, task)
        one.process.kill()

    monkeypatch.setattr(crew, "_send", kill_then_send)
    with pytest.raises(UnavailableError, match="ended with code -9"):
        decide_audience(plan, settings, redis_url=own_redis.url, model=model)
    assert not plan.out.exists()
