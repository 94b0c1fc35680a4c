"""Erasure leaves no trace of a customer in any file below home or key in Redis, and none comes back."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from redis import Redis

from decisioning.errors import InvalidInputError, UnavailableError
from features.catalogue import load_catalogue
from features.chain.audit_chain import AUDIT_CHAIN, open_log
from features.chain.chain_verification import verify_log
from features.importing.folder import import_folder
from features.log.contracts import CUSTOMERS, EVENTS
from features.log.event_log import EventLog
from features.online.redis_keys import HELD_KEY, household_book_key, profile_key
from features.privacy.audit_trail import acts
from features.privacy.journal import journal_folder, unfinished
from features.store.feature_history import current_generation
from features.store.materialisation import materialise
from serving.privacy.erasure import Erasure, ErasureGround, erase_customer, resume_erasures
from serving.privacy.redis_traces import waiting_mentions


def erase(one: Any, who: str, on_step: Callable[[str], None] = lambda _step: None) -> Erasure:
    return erase_customer(
        one.settings, one.url, who, now=one.now, ground=ErasureGround.REQUEST, by="test", on_step=on_step
    )


def test_nothing_of_an_erased_customer_is_left_anywhere(installation, lived, ann, bob, personal) -> None:
    with installation.server() as server:
        lived(installation, server)
        before = installation.traces()
        # the search must find existing data, or the check below would prove nothing
        for place in ("log/customers/", "log/events/", "log/decisions/", "log/outcomes/", "_delta_log", "features/"):
            assert any(place in one for one in before), place
        for place in ("redis/appendonly", "rejects/", "spool/", "dead/", "handoffs/", ":log", ":c:", ":k:", ":d:"):
            assert any(place in one for one in before), place

        answer = server.delete(f"/v1/customers/{ann}")

        assert answer.status_code == 200, answer.text
        done = answer.json()
        assert done["left"] == []
        assert done["append_only_file"] == "rewritten"
        assert done["log_rows"]["events"] >= 7
        assert installation.traces() == []
        assert server.delete(f"/v1/customers/{ann}").json()["was_erased"]
    assert installation.traces() == []
    assert list(journal_folder(installation.settings).glob("*")) == []


def test_rows_of_others_that_wait_for_the_drain_lose_her_name(installation, ann, bob, personal) -> None:
    about = [{"invited_by": ann}, {"friends": [{"id": ann}, "C-3"]}, {"note": "about nobody"}]
    with installation.server() as server:
        for number, properties in enumerate(about):
            event = {"message_id": f"w-{number}", "customer_id": bob, "type": "browse",
                     "occurred_at": "2026-11-02T09:00:00Z", "properties": properties}  # fmt: skip
            assert server.post("/v1/events", json={"events": [event]}).json()["accepted"] == 1
        assert any(":log" in one for one in installation.traces())
        assert waiting_mentions(installation.client, ann)

        done = server.delete(f"/v1/customers/{ann}").json()

    assert done["left"] == []
    assert waiting_mentions(installation.client, ann) == ()
    assert installation.traces() == []
    installation.drain()
    assert installation.traces() == []
    rows = EventLog(installation.settings.log_path).find(EVENTS, "event_id", [f"w-{number}" for number in range(3)])
    assert len(rows) == 3, "Bob's own events stay"


def test_erasing_again_removes_later_mentions_by_others(installation, ann, bob) -> None:
    erase(installation, ann)
    with installation.server() as server:
        event = {"message_id": "late", "customer_id": bob, "type": "browse", "occurred_at": "2026-11-02T09:00:00Z",
                 "properties": {"invited_by": ann}}  # fmt: skip
        server.post("/v1/events", json={"events": [event]})
        assert len(waiting_mentions(installation.client, ann)) == 1
    assert erase(installation, ann).left == ()
    assert installation.traces() == []


def test_the_log_still_verifies_and_everybody_else_keeps_everything(installation, lived, ann, bob) -> None:
    with installation.server() as server:
        lived(installation, server)
        installation.drain()
        log = open_log(installation.settings)
        others = {
            table.name: log.read(table).filter(pl.col("customer_id") != ann).sort(table.key)
            for table in (CUSTOMERS, EVENTS)
        }
        decided = log.read(AUDIT_CHAIN).height

        server.delete(f"/v1/customers/{ann}")

    found = verify_log(log, settle_seconds=0.05)
    assert found.faults == ()
    assert found.erased == 2
    assert log.read(AUDIT_CHAIN).height == decided + found.erased
    assert log.read(CUSTOMERS).sort(CUSTOMERS.key).equals(others["customers"])
    kept = log.read(EVENTS).sort(EVENTS.key)
    told = kept.filter(pl.col("event_id") == "e-referral")["properties"].item()
    assert told == '{"invited_by":"erased","page":"start"}'
    assert kept.drop("properties").equals(others["events"].drop("properties"))
    assert installation.client.get(profile_key(bob)) is not None
    generation = current_generation(installation.settings)
    assert generation is not None
    assert generation.scan().filter(pl.col("customer_id") == bob).collect().height > 0


def test_the_erased_customers_contacts_leave_the_household_book_and_release_their_use(
    installation, lived, ann, bob
) -> None:
    with installation.server() as server:
        decision_id = lived(installation, server)
        book = household_book_key("house-7")
        before = installation.client.hgetall(book)
        assert decision_id.encode() in before
        server.delete(f"/v1/customers/{ann}")
    after = installation.client.hgetall(book)
    assert decision_id.encode() not in after
    assert int(after[b"version"]) > int(before[b"version"])
    bobs = {name for name in before if name in installation.client.hgetall(f"{book}")}
    assert bobs - {b"version"}, "the contacts of the others stay"
    assert installation.client.zrange(HELD_KEY, 0, -1) == [
        key for key in installation.client.zrange(HELD_KEY, 0, -1) if installation.client.exists(key)
    ]


def test_an_erased_customer_is_unknown_on_every_path_and_nothing_is_logged(installation, lived, ann) -> None:
    with installation.server() as server:
        decision_id = lived(installation, server)
        server.delete(f"/v1/customers/{ann}")
        ask = {"customer_id": ann, "touchpoint": "weekly-mail", "dedupe_key": "again"}

        decided = server.post("/v1/decisions", json=ask).json()
        unknown = server.post("/v1/decisions", json={**ask, "customer_id": "C-nobody"}).json()
        assert (decided["action"], decided["reason"]) == ("hold", unknown["reason"])
        assert decided["decision_id"] is None
        assert not decided["degraded"]
        assert server.post(f"/v1/decisions/{decision_id}/permit").status_code == 404
        assert server.get(f"/v1/decisions/{decision_id}").status_code == 404
        assert server.get(f"/v1/customers/{ann}").status_code == 404
        assert server.patch(f"/v1/customers/{ann}", json={"values": {"age": 3}}).status_code == 404
        event = {"message_id": "late", "customer_id": ann, "type": "browse", "occurred_at": "2026-11-02T09:00:00Z"}
        outcome = {"message_id": "late", "decision_id": decision_id, "customer_id": ann, "type": "viewed",
                   "occurred_at": "2026-11-02T09:00:00Z"}  # fmt: skip
        for kind, item in (("events", event), ("outcomes", outcome)):
            [rejected] = server.post(f"/v1/{kind}", json={kind: [item]}).json()["rejected"]
            assert rejected["code"] == "unknown_customer"
    installation.drain()
    assert installation.traces() == []


def test_neither_an_import_nor_a_materialisation_brings_an_erased_customer_back(installation, ann, bob) -> None:
    erase(installation, ann)
    installation.client.flushall()
    events = pl.read_parquet(installation.data / "events.parquet")  # Bob's own row may mention her
    events.filter(pl.col("event_id") != "e-referral").write_parquet(installation.data / "events.parquet")

    report = installation.import_all()
    installation.features()

    erased = {table.table: table.erased for table in report.tables}
    assert erased == {"customers": 1, "events": 6, "decisions": 1, "outcomes": 1}
    assert all(t.read == t.inserted + t.duplicates + t.rejected + t.erased for t in report.tables)
    assert installation.tombstones() == 1, "an emptied Redis learns again who was erased"
    assert installation.traces() == []
    assert installation.client.get(profile_key(bob)) is not None


def test_a_refused_row_of_an_erased_customer_is_not_kept_among_the_rejects(installation, ann, tmp_path) -> None:
    erase(installation, ann)
    folder = tmp_path / "again"
    folder.mkdir()
    (folder / "events.csv").write_text(
        f"event_id,customer_id,type,occurred_at\nx-1, {ann} ,browse,never\nx-2,C-3,browse,never\n"
    )
    report = import_folder(folder, installation.settings, now=installation.now)
    assert (report.tables[0].rejected, report.tables[0].erased) == (1, 1)
    assert installation.traces() == []


@pytest.mark.parametrize("step", range(1, 9))
def test_an_erasure_killed_at_any_point_is_finished_later(installation, lived, ann, step) -> None:
    with installation.server() as server:
        lived(installation, server)
        steps = list[str]()

        def die(name: str) -> None:
            steps.append(name)
            if len(steps) == step + 1:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            erase(installation, ann, die)
        assert [one.customer_id for one in unfinished(installation.settings)] == [ann]
        [done] = resume_erasures(installation.settings, installation.url, now=installation.now)
    assert done.left == ()
    assert unfinished(installation.settings) == []
    assert installation.traces() == []
    assert verify_log(open_log(installation.settings), settle_seconds=0.05).faults == ()


def test_concurrent_decisions_and_reports_do_not_bring_an_erased_customer_back(installation, lived, ann) -> None:
    """Threads ask and report about her continuously while she is erased."""
    with installation.server() as server, ThreadPoolExecutor(4) as threads:
        lived(installation, server)
        is_over = False

        def hammer(thread: int) -> int:
            count = 0
            while not is_over:
                ask = {"customer_id": ann, "touchpoint": "weekly-mail", "dedupe_key": f"{thread}-{count}"}
                server.post("/v1/decisions", json=ask)
                event = {"message_id": f"h-{thread}-{count}", "customer_id": ann, "type": "browse",
                         "occurred_at": "2026-11-02T09:00:00Z"}  # fmt: skip
                server.post("/v1/events", json={"events": [event]})
                count += 1
            return count

        def drain() -> int:
            while not is_over:
                installation.drain()
            return 1

        working = [*(threads.submit(hammer, number) for number in range(3)), threads.submit(drain)]
        try:
            done = erase(installation, ann)
        finally:
            is_over = True
        assert all(one.result() > 0 for one in working)
        assert done.left == ()
    installation.drain()
    assert installation.traces() == []
    assert verify_log(open_log(installation.settings), settle_seconds=0.05).faults == ()


def test_a_concurrent_materialisation_does_not_bring_an_erased_customer_back(installation, ann, bob) -> None:
    told = list[int]()

    def erase_meanwhile(done: int, total: int) -> None:
        told.append(done)
        if done == total // 2 and told.count(done) == 1:  # features are written, profiles are about to be
            erase(installation, ann)

    catalogue = load_catalogue(installation.settings.catalogue_path)
    materialise(installation.settings, catalogue, installation.url, full=True, progress=erase_meanwhile)
    assert ann not in EventLog(installation.settings.log_path).read(CUSTOMERS)["customer_id"].to_list()
    assert [key for key, text in installation.everything_in_redis() if ann in text] == []
    assert installation.client.get(profile_key(bob)) is not None


def test_a_concurrent_import_does_not_bring_an_erased_customer_back(installation, ann) -> None:
    def erase_meanwhile(done: int, _total: int) -> None:
        if done > 0 and not acts(installation.settings):
            with pytest.raises(UnavailableError, match="import must end"):
                erase(installation, ann)

    import_folder(installation.data, installation.settings, erase_meanwhile, now=installation.now)
    [done] = resume_erasures(installation.settings, installation.url, now=installation.now)
    assert done.left == ()
    assert installation.traces() == []


def test_an_unknown_customer_is_not_erased_and_gets_no_tombstone(installation) -> None:
    with pytest.raises(InvalidInputError, match="unknown id"):
        erase(installation, "C-nobody")
    assert installation.tombstones() == 0
    assert unfinished(installation.settings) == []
    with pytest.raises(InvalidInputError, match="must be text"):
        erase(installation, " ")


def test_similar_ids_are_other_people(installation, ann) -> None:
    """`C-1` is erased; `C-10` and `xC-1` stay."""
    log = open_log(installation.settings)
    rows = log.read(CUSTOMERS, customer_ids=["C-1"])
    near = ["C-10", "xC-1", "C-1-x", "C-1'"]
    log.append(CUSTOMERS, pl.concat([rows.with_columns(pl.lit(one).alias("customer_id")) for one in near]))
    erase(installation, "C-1")
    left = log.read(CUSTOMERS)["customer_id"].to_list()
    assert "C-1" not in left
    assert set(near) <= set(left)


def test_only_a_key_with_the_privacy_scope_may_read_and_erase(installation, ann) -> None:
    from serving.http.api_keys import Scope, create_key

    def header(scope: Scope) -> dict[str, str]:
        made = create_key(
            installation.settings.keys_path, name=scope.value, scopes=frozenset({scope}), now=installation.now
        )
        return {"X-API-Key": made.secret}

    reading, rights = header(Scope.READ), header(Scope.PRIVACY)
    with installation.server() as server:
        for call in (server.get, server.delete):
            assert call(f"/v1/customers/{ann}", headers=reading).status_code == 403
        assert server.patch(f"/v1/customers/{ann}", headers=reading, json={"values": {"age": 1}}).status_code == 403
        assert server.get(f"/v1/customers/{ann}", headers=rights).status_code == 200
        assert server.delete(f"/v1/customers/{ann}", headers=rights).status_code == 200
        assert [act["by"] for act in acts(installation.settings)] == ["key privacy", "key privacy"]


def test_the_tombstone_is_a_keyed_hash_that_reveals_nothing(installation, ann) -> None:
    from hashlib import sha256

    erase(installation, ann)
    text = (installation.settings.log_path / "erased" / "tombstones.jsonl").read_text()
    assert sha256(ann.encode()).hexdigest() not in text
    assert ann not in text
    other = replace_key(installation)
    assert other.tokens() == frozenset(installation_tokens(installation))
    assert ann not in other, "without the key nobody can tell whose it is"


def installation_tokens(one: Any) -> frozenset[str]:
    from features.log.tombstones import tombstones_of

    return tombstones_of(one.settings).tokens()


def replace_key(one: Any) -> Any:
    from features.log.tombstones import tombstones_of

    key = one.settings.log_path / "erased" / "key"
    key.unlink()
    key.write_text("ab" * 32)
    return tombstones_of(one.settings)


def test_while_redis_is_down_no_row_of_an_erased_customer_is_spooled(installation, ann) -> None:
    erase(installation, ann)
    away = replace(
        installation, settings=installation.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    )
    with away.server() as server:
        ask = {"touchpoint": "weekly-mail", "dedupe_key": "x"}
        mine = server.post("/v1/decisions", json={**ask, "customer_id": ann}).json()
        other = server.post("/v1/decisions", json={**ask, "customer_id": "C-3"}).json()
    assert mine["decision_id"] is None
    assert other["decision_id"]
    assert installation.traces() == []


def test_a_redis_that_forbids_the_rewrite_is_reported() -> None:
    from redis.exceptions import ResponseError

    from serving.privacy.redis_traces import rewrite_file

    class Forbidding(Redis):
        def execute_command(self, *args: Any, **options: Any) -> Any:
            raise ResponseError("unknown command")

    assert rewrite_file(Forbidding()) == "refused"
