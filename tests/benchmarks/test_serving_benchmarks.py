"""The servers that the serving benchmarks compare answer their requests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

ASK = {"customer_id": "C-7", "touchpoint": "mail"}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    from serving_load import redis_server
    from serving_world import World, prepare

    with redis_server(tmp_path / "redis") as port:
        made = World(home=tmp_path / "home", redis_port=port)
        prepare(made, messages=40, customers=20)
        for name, value in made.environment().items():
            monkeypatch.setenv(name, value)
        yield made.home


def answer_of(app: object) -> dict[str, object]:
    with TestClient(app) as client:  # pyright: ignore[reportArgumentType]
        return client.post("/v1/decisions", json=ASK).json()


def test_nextbest_decides_for_the_customers_of_the_benchmark(world: Path) -> None:
    from serving.http.app import app_from_environment

    answer = answer_of(app_from_environment())
    assert (answer["degraded"], answer["model"]) == (False, {"version": "1", "measure": "net_revenue"})


def test_the_bare_server_takes_the_best_message(world: Path) -> None:
    from serving_rivals import bare_app

    answer = answer_of(bare_app())
    assert str(answer["message"]).startswith(("offer-", "silence"))


def test_equal_windows_have_no_slope_and_a_rise_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    from soak import slope

    assert slope([5.0, 5.0, 5.0, 5.0], 200_000)["per_100k"] == pytest.approx(0.0, abs=1e-6)
    assert slope([5.0, 6.0, 7.0, 8.0], 400_000)["per_100k"] == pytest.approx(1.0)
