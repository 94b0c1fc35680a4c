"""docs/api.md shows what the server does."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from starlette.testclient import TestClient

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
BLOCKS = re.findall(r"^```(console|json)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
SHOWN_ID = "dec_0e63ae81b4e5cc4108b55b273a46f784f0"
HOST = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class Example:
    path: str
    body: str | None
    shown: Any


def examples() -> Iterator[Example]:
    for place, (kind, text) in enumerate(BLOCKS):
        commands = [line for line in re.split(r"\n(?=\S)", text.strip()) if line.startswith("curl")]
        follows = BLOCKS[place + 1] if place + 1 < len(BLOCKS) else ("", "")
        if kind == "console":
            for command in commands:
                words = shlex.split(command)
                body = words[words.index("-d") + 1] if "-d" in words else None
                shown = orjson.loads(follows[1]) if follows[0] == "json" and len(commands) == 1 else None
                yield Example(path=words[1].removeprefix(HOST), body=body, shown=shown)


def assert_has_shape(shown: Any, found: Any, path: str = "") -> None:
    """Check that the answer has exactly the fields that the page shows."""
    if isinstance(shown, dict) and shown:
        assert set(shown) == set(found), path
        for name, value in shown.items():
            assert_has_shape(value, found[name], f"{path}/{name}")
    elif isinstance(shown, list):
        for place, value in enumerate(shown):
            assert_has_shape(value, found[place], f"{path}/{place}")
    else:
        assert type(shown) is type(found), path


def test_every_request_of_the_page_is_answered_as_the_page_says(client: TestClient, customer: str) -> None:
    found = list(examples())
    assert len(found) == 13
    decision_id = ""
    for example in found:
        path = example.path.replace(SHOWN_ID, decision_id)
        if example.body is None:
            answer = client.get(path)
        else:
            content = example.body.replace(SHOWN_ID, decision_id)
            answer = client.post(path, content=content, headers={"content-type": "application/json"})
        assert answer.status_code in (200, 202), (path, answer.text)
        decision_id = decision_id or answer.json()["decision_id"]
        if example.shown is not None:
            told = answer.json()["slate"] if isinstance(example.shown, list) else answer.json()
            assert_has_shape(example.shown, told, path)


def test_the_problem_on_the_page_is_the_servers(client: TestClient) -> None:
    [shown] = [orjson.loads(text) for kind, text in BLOCKS if kind == "json" and "urn:nextbest" in text]
    answer = client.post("/v1/decisions", json={"customer_id": "C-1", "touchpoint": "weekly-mial"}).json()

    assert {**shown, "request_id": ""} == {**answer, "request_id": ""}


def test_the_page_names_every_reason_and_every_event_that_changes_state() -> None:
    from decisioning.decision import Reason
    from features.log.event_types import StateEventType
    from serving.decisions import permits

    words = [*Reason, *StateEventType]
    words += [permits.NOTHING_TO_SEND, permits.TOO_OLD, permits.STATE_UNAVAILABLE, permits.CONTENDED]
    assert [word for word in words if f"`{word}`" not in PAGE] == []


def test_the_page_names_every_outcome_type_scope_and_way_to_be_degraded() -> None:
    from features.log.outcome_types import OutcomeType
    from serving.decisions import known
    from serving.http.api_keys import Scope

    words = [*OutcomeType, *Scope, known.STATE_UNAVAILABLE, known.LOG_UNAVAILABLE, known.PROFILE_UNREADABLE]
    words += [known.FEATURES_MISSING, known.FEATURES_STALE, known.FEATURES_UNAVAILABLE]
    words += [known.MODEL_UNAVAILABLE, known.ARM_MODEL_UNAVAILABLE, known.CONTENT_UNAVAILABLE]
    words += [known.CONTENDED]
    assert [word for word in words if f"`{word}`" not in PAGE] == []
