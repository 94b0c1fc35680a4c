"""A running server loads a new catalogue and a new champion, and keeps the old ones if the new ones are invalid."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from decisioning.policy import Policy
from features.catalogue import load_catalogue
from features.catalogue.assignment.ledger import Ledger, read_ledger
from features.models.policy_archive import PolicyArchive
from features.settings import Settings
from tests.waiting import wait_until

ASK = {"customer_id": "C-1", "touchpoint": "app-home"}


def checks(client: TestClient) -> dict[str, Any]:
    return client.get("/readyz").json()["checks"]


def edit(settings: Settings, old: str, new: str) -> None:
    path = settings.catalogue_path / "offers.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_changed_catalogue_is_in_force_without_a_restart(
    client: TestClient, customer: str, settings: Settings
) -> None:
    before = client.post("/v1/decisions", json=ASK).json()["policy_version"]
    edit(settings, "See you soon", "Until then")

    wait_until(lambda: client.get("/v1/me").json()["policy_version"] != before)

    contents = [client.post("/v1/decisions", json=ASK).json()["selected"] for _ in range(6)]
    assert {one["content"]["body"] for one in contents if one} == {"Until then"}


def test_a_retry_does_not_send_an_offer_removed_from_the_catalogue(
    client: TestClient, customer: str, settings: Settings
) -> None:
    ask = {**ASK, "dedupe_key": "one"}
    first = client.post("/v1/decisions", json=ask).json()
    offer = first["selected"]["offer_id"]
    before = first["policy_version"]
    edit(settings, f"  {offer}:\n", f"  {offer}-2:\n")

    wait_until(lambda: client.get("/v1/me").json()["policy_version"] != before)

    assert client.post("/v1/decisions", json=ask).json()["withheld"] == ["EXPIRED"]


def test_a_broken_catalogue_never_replaces_a_good_one_and_readiness_says_what_is_wrong(
    client: TestClient, customer: str, settings: Settings
) -> None:
    before = client.get("/v1/me").json()["policy_version"]
    edit(settings, "goal: loyalty", "goal: loyality")

    wait_until(lambda: checks(client)["catalogue"]["problem"] is not None)

    assert "loyality" in checks(client)["catalogue"]["problem"]
    assert client.get("/v1/me").json()["policy_version"] == before
    assert client.post("/v1/decisions", json=ASK).status_code == 200
    edit(settings, "goal: loyality", "goal: loyalty")
    wait_until(lambda: checks(client)["catalogue"]["problem"] is None)


def test_a_new_champion_is_in_use_without_a_restart(
    client: TestClient, customer: str, registry: Any, new_bundle: Callable[..., Any], shop_files: Path
) -> None:
    assert client.post("/v1/decisions", json=ASK).json()["model"]["version"] == "7"
    registry.promote(new_bundle(load_catalogue(shop_files), seed=9), "8")

    wait_until(lambda: checks(client)["model"]["version"] == "8")

    assert client.post("/v1/decisions", json=ASK).json()["model"]["version"] == "8"


@pytest.mark.parametrize("fault", ["damaged", "other schema", "registry away"])
def test_a_champion_that_cannot_be_used_leaves_the_old_one_in_use(
    client: TestClient, customer: str, registry: Any, new_bundle: Callable[..., Any], shop_files: Path, fault: str
) -> None:
    catalogue = load_catalogue(shop_files)
    if fault == "registry away":
        registry.problem, registry.champion = "the registry is away", None
    else:
        schema = "0123456789abcdef" if fault == "other schema" else None
        registry.promote(new_bundle(catalogue, schema=schema, seed=9), "8")
        if fault == "damaged":
            (registry.folder / "8" / "model.json").write_text("{}")

    wait_until(lambda: checks(client)["model"]["problem"] is not None)

    assert checks(client)["model"]["version"] == "7"
    answer = client.post("/v1/decisions", json=ASK).json()
    assert (answer["model"]["version"], answer["degraded"]) == ("7", False)


def test_a_server_without_a_catalogue_says_so_and_starts_deciding_once_there_is_one(
    settings: Settings, registry: Any, clock: Any, store: Any, shop_files: Path
) -> None:
    import shutil

    from serving.http.app import create_app

    shutil.rmtree(settings.catalogue_path)
    with TestClient(create_app(settings, fetch_model=registry.fetch, now=clock, refresh_every_s=0.05)) as client:
        refused = client.post("/v1/decisions", json=ASK)
        assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
        assert client.get("/readyz").status_code == 503

        shutil.copytree(shop_files, settings.catalogue_path)
        wait_until(lambda: client.get("/readyz").status_code == 200)
        assert client.post("/v1/decisions", json=ASK).status_code == 200


CHALLENGED = """
experiments:
  challenge:
    salt: ch-1
    control: champion
    exposure: decided
    primary: net_revenue
    arms:
      challenger: {share: 0.5, policy: model, model: challenger}
      champion: {share: 0.5}
"""


def answered(client: TestClient, store: Any, new_customer: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    """One answer per arm; all customers of an arm get the same."""
    found: dict[str, dict[str, Any]] = {}
    for n in range(12):
        customer = store.put(new_customer(f"C-{n}"))
        answer = client.post("/v1/decisions", json={**ASK, "customer_id": customer, "explain": True}).json()
        assert answer["experiments"][0]["experiment"] == "challenge"
        told = found.setdefault(answer["experiments"][0]["arm"], answer)
        assert (told["model"], told["degraded_reasons"]) == (answer["model"], answer["degraded_reasons"])
    return found


def test_an_experiment_arm_is_scored_by_the_model_it_names(
    serve: Callable[..., TestClient],
    registry: Any,
    new_bundle: Callable[..., Any],
    shop_files: Path,
    store: Any,
    new_customer: Callable[..., Any],
) -> None:
    aliases: list[str] = []
    champion = registry.champion
    registry.promote(new_bundle(load_catalogue(shop_files), seed=9), "12")
    challenger, registry.champion = registry.champion, champion

    def fetch_arm(alias: str) -> Any:
        aliases.append(alias)
        return challenger

    answers = answered(serve(CHALLENGED, fetch_arm=fetch_arm), store, new_customer)

    assert set(aliases) == {"challenger"}
    assert {arm: answer["model"]["version"] for arm, answer in answers.items()} == {"challenger": "12", "champion": "7"}
    values = {
        arm: [one["expected_value"] for one in answer["explanation"]["evaluated"]] for arm, answer in answers.items()
    }
    assert values["challenger"] != values["champion"]


def test_an_arm_whose_model_is_missing_is_never_scored_by_another_and_other_arms_go_on(
    serve: Callable[..., TestClient], store: Any, new_customer: Callable[..., Any]
) -> None:
    from decisioning.errors import ModelUnavailableError

    def fetch_arm(alias: str) -> Any:
        raise ModelUnavailableError(f"model registry must have a {alias}, got none")

    client = serve(CHALLENGED, fetch_arm=fetch_arm)
    answers = answered(client, store, new_customer)

    arm, others = answers["challenger"], answers["champion"]
    assert (arm["model"], arm["degraded_reasons"]) == (None, ["arm_model_unavailable"])
    refused = {one["message"]: one["reasons"] for one in arm["explanation"]["excluded"]}
    assert "NOT_SCORED" in refused["ten-percent/push/plain"]
    assert (others["model"]["version"], others["degraded"]) == ("7", False)
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert "challenger" in ready.json()["checks"]["model"]["problem"]


def test_every_policy_that_was_in_force_is_archived_for_replay(client: TestClient, settings: Settings) -> None:
    def versions() -> set[str]:
        return {path.stem for path in (settings.catalogues_path / "policies").glob("*.json")}

    wait_until(lambda: len(versions()) == 1)
    path = settings.catalogue_path / "catalogue.yaml"
    path.write_text(path.read_text().replace("cost: 0.01", "cost: 0.02"))
    wait_until(lambda: len(versions()) == 2)
    archive = PolicyArchive(settings.catalogues_path)
    assert all(isinstance(archive.policy(version), Policy) for version in versions())


def test_files_edited_in_place_move_no_customers_between_arms_and_begin_a_phase(
    client: TestClient, customer: str, settings: Settings
) -> None:
    before = client.get("/v1/me").json()["policy_version"]
    path = settings.catalogue_path / "catalogue.yaml"
    path.write_text(path.read_text().replace("random: {share: 0.5, policy", "random: {share: 0.3, policy").replace(
        "engine: {share: 0.5}", "engine: {share: 0.7}"
    ))  # fmt: skip
    wait_until(lambda: client.get("/v1/me").json()["policy_version"] != before)

    wait_until(lambda: len((read_ledger(settings.catalogue_path) or Ledger()).experiments["engine-vs-random"]) == 2)
    archive = PolicyArchive(settings.catalogues_path)
    version = client.get("/v1/me").json()["policy_version"]
    wait_until(lambda: archive.ledger(version) is not None)
    kept = archive.policy(version)
    assert isinstance(kept, Policy)
    assert kept.catalogue == load_catalogue(settings.catalogue_path)
