"""docs/listening.md shows what the catalogue accepts and what the server does."""

import re
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis
import yaml
from starlette.testclient import TestClient

from decisioning.policy import Policy
from features.catalogue import load_catalogue
from features.listening.language import language_of
from features.log.contracts import EVENTS
from features.log.event_log import EventLog
from features.settings import Settings
from serving.log.drain import drain_alone

PAGE = (Path(__file__).parents[3] / "docs" / "listening.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(console|json|yaml)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
PIECES = [text for kind, text in BLOCKS if kind == "yaml"]
SHOWN = [orjson.loads(text) for kind, text in BLOCKS if kind == "json"]
CURLS = [text for kind, text in BLOCKS if kind == "console" and text.startswith("curl")]
HOST = "http://127.0.0.1:8000"
SHOP = Path(__file__).parents[2] / "catalogues" / "shop"


@pytest.mark.parametrize("piece", PIECES, ids=[piece.split(":", 1)[0] for piece in PIECES])
def test_every_excerpt_on_the_page_is_valid_in_a_catalogue(piece: str, tmp_path: Path) -> None:
    sections: dict[str, Any] = {}
    for path in sorted(SHOP.glob("*.yaml")):
        sections |= yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, value in yaml.safe_load(piece).items():
        held = sections.get(name)
        sections[name] = {**held, **value} if isinstance(held, dict) else [*value, *(held or [])] if isinstance(
            value, list
        ) else value  # fmt: skip
    (tmp_path / "catalogue.yaml").write_text(yaml.safe_dump(sections), encoding="utf-8")
    catalogue = load_catalogue(tmp_path)
    Policy(catalogue)
    assert catalogue.version != load_catalogue(SHOP).version


def test_the_requests_on_the_page_are_answered_as_it_says(
    serve: Callable[..., TestClient],
    store: Any,
    new_customer: Callable[..., Any],
    settings: Settings,
    live_redis: redis.Redis,
) -> None:
    store.put(new_customer("C-1", attributes={"age": 40}, known_at=datetime(2026, 1, 1, tzinfo=UTC)))
    client = serve(PIECES[0])
    answers = [asked(client, text) for text in CURLS]
    assert [answer.get("accepted") for answer in answers] == [1, None, 1, None]
    assert [answers[1], answers[3]] == SHOWN[1:]
    drain_alone(live_redis, EventLog(settings.log_path), settings.spool_path, wait_seconds=5.0)
    [row] = EventLog(settings.log_path).find(EVENTS, "event_id", ["post-17"])
    assert orjson.loads(row["properties"])["heard"] == SHOWN[0]["heard"]


def asked(client: TestClient, text: str) -> dict[str, Any]:
    words = shlex.split(text)
    path = words[1].removeprefix(HOST)
    if "-d" not in words:
        return client.get(path).json()
    content = words[words.index("-d") + 1]
    return client.post(path, content=content, headers={"content-type": "application/json"}).json()


def test_the_page_states_the_real_figures_of_language_detection() -> None:
    path = Path(__file__).parents[2] / "features" / "listening" / "sentences.yaml"
    sentences = yaml.safe_load(path.read_text(encoding="utf-8"))
    others = sum(len(some) for name, some in sentences.items() if name not in {"en", "short"})
    assert f"Of {len(sentences['en'])} English sentences" in PAGE
    assert f"none of {others} in other" in PAGE
    before = yaml.safe_load((SHOP.parent / "marketing_sentences.yaml").read_text(encoding="utf-8"))
    texts = [text for some in before.values() for text in some]
    found = sum(language_of(text) == "en" for text in texts)
    assert f"Of the {len(texts)} short ones" in PAGE
    assert f"found {found} of 33 English ones" in PAGE
