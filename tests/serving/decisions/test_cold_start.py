"""A shop without a model is ready from the first minute, explores permitted messages, and reports its cold start."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.testclient import TestClient

from features.models.bundle import write_bundle
from features.models.registry import fetch_champion
from features.settings import Settings
from pipelines.batch.run import BatchPlan, decide_audience
from serving.http.app import create_app
from tests.waiting import wait_until

MAIL = {"customer_id": "C-1", "touchpoint": "weekly-mail"}
EXPLORING = "exploration: {epsilon: 0.5, min_probability: 0.0}\n"

type Serve = Callable[..., TestClient]


@pytest.fixture
def newcomer(serve: Serve, settings: Settings) -> Serve:
    """A server whose home never had a model."""

    def start(sections: str = "", offers: str = "") -> TestClient:
        return serve(sections, offers, fetch_model=lambda: fetch_champion(settings))

    return start


def test_the_first_answer_sends_by_declared_value_and_is_not_degraded(newcomer: Serve, customer: str) -> None:
    client = newcomer()

    answer = client.post("/v1/decisions", json=MAIL).json()
    ready = client.get("/readyz")

    assert (answer["reason"], answer["degraded_reasons"], answer["model"]) == ("COLD_START", [], None)
    assert answer["selected"]["offer_id"] == "ten-percent"  # 2.00 is the highest declared value
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    model = ready.json()["checks"]["model"]
    assert (model["ok"], model["mode"], model["version"], model["problem"]) == (True, "cold_start", None, None)


def test_exploration_draws_with_the_logged_probability(newcomer: Serve, customer: str) -> None:
    client = newcomer(EXPLORING)
    asks = [{**MAIL, "dedupe_key": str(place)} for place in range(300)]

    found = client.post("/v1/decisions/batch", json={"requests": asks}).json()["results"]
    answers = [one["decision"] for one in found]

    assert {one["reason"] for one in answers} == {"COLD_START"}
    probabilities: dict[str, float] = {}
    counts = Counter[str]()
    for one in answers:
        key = one["selected"]["offer_id"] + one["selected"]["channel"] if one["selected"] else "silence"
        counts[key] += 1
        probabilities[key] = one["action_probability"]
    assert len(counts) == 9  # four offers on two channels, and silence
    assert sum(probabilities.values()) == pytest.approx(1.0)
    for key, probability in probabilities.items():
        assert counts[key] / 300 == pytest.approx(probability, abs=5 * (probability / 300) ** 0.5)


def test_silence_wins_if_a_contact_costs_more_than_the_declared_value(newcomer: Serve, customer: str) -> None:
    client = newcomer("channels:\n  email: {cost: 9.0}\n  push: {cost: 9.0}\n")

    answer = client.post("/v1/decisions", json=MAIL).json()

    assert (answer["action"], answer["reason"], answer["degraded"]) == ("hold", "COLD_START", False)


def test_no_gate_is_skipped_in_a_cold_start(newcomer: Serve, store: Any, new_customer: Callable[..., Any]) -> None:
    client = newcomer(EXPLORING)
    store.put(new_customer("C-2", consents=()))
    store.put(new_customer("C-3", attributes={"age": 12}))

    nothing = client.post("/v1/decisions", json={**MAIL, "customer_id": "C-2", "explain": True}).json()
    young = client.post("/v1/decisions", json={**MAIL, "customer_id": "C-3", "explain": True}).json()

    assert (nothing["action"], nothing["reason"]) == ("hold", "NOTHING_PERMITTED")
    refused = {one["message"]: one["reasons"] for one in young["explanation"]["excluded"]}
    assert refused["ten-percent/email/plain"] == ["NOT_ELIGIBLE"]


def test_a_decision_of_a_cold_start_is_replayed_from_its_record(
    newcomer: Serve, settings: Settings, customer: str
) -> None:
    from decisioning.policy import Policy
    from decisioning.record.document import decision_to_record, replay
    from features.models.policy_archive import PolicyArchive

    client = newcomer(EXPLORING)
    answer = client.post("/v1/decisions", json=MAIL).json()
    record = client.get(f"/v1/decisions/{answer['decision_id']}").json()

    policy = PolicyArchive(settings.catalogues_path).policy(answer["policy_version"])
    assert isinstance(policy, Policy)
    assert decision_to_record(replay(policy, record)) == record


def test_the_first_champion_ends_the_cold_start_and_losing_it_does_not_restore_it(
    newcomer: Serve, settings: Settings, shop_bundle: Any, clock: Any, customer: str
) -> None:
    client = newcomer()
    folder = settings.models_path / "1-run"
    pointer = {"version": "1", "folder": folder.name, "digest": write_bundle(shop_bundle, folder)}
    (settings.models_path / "champion.json").write_bytes(orjson.dumps(pointer))

    wait_until(lambda: client.get("/readyz").json()["checks"]["model"]["mode"] == "model")
    assert client.post("/v1/decisions", json=MAIL).json()["reason"] == "MODEL"

    (folder / "booster.txt").unlink()
    with TestClient(create_app(settings, now=clock)) as restarted:
        answer = restarted.post("/v1/decisions", json=MAIL).json()
        assert answer["degraded_reasons"] == ["model_unavailable"]
        assert restarted.get("/readyz").status_code == 503


def test_a_batch_starts_cold_too_and_decides_like_the_api(
    newcomer: Serve, settings: Settings, redis_url: str, clock: Any, customer: str, tmp_path: Path
) -> None:
    import polars as pl

    client = newcomer(EXPLORING)
    api = client.post("/v1/decisions", json={**MAIL, "dedupe_key": "w", "dry_run": True}).json()
    pl.DataFrame({"customer_id": ["C-1"]}).write_parquet(tmp_path / "audience.parquet")
    plan = BatchPlan(
        audience=tmp_path / "audience.parquet", out=tmp_path / "out.parquet", touchpoint_id="weekly-mail", key="w",
        now=clock.now, is_dry_run=True, is_cold_start=True,
    )  # fmt: skip

    report = decide_audience(plan, settings, redis_url=redis_url, model=None)
    [row] = pl.read_parquet(tmp_path / "out.parquet").to_dicts()

    assert (report.degraded, row["reason"]) == (0, "COLD_START")
    assert (row["offer_id"], row["action_probability"]) == (
        api["selected"] and api["selected"]["offer_id"],
        api["action_probability"],
    )
