"""The answer without nesting, for template languages (Liquid, Twig, AMPscript)."""

from typing import Any, TypedDict

from pydantic import ConfigDict, with_config

from decisioning.decision import Action, Reason
from serving.decisions.answer import Answer


@with_config(ConfigDict(extra="allow"))
class FlatAnswer(TypedDict):
    """A decision without nesting; the content fields of the chosen message stand beside these."""

    action: Action
    reason: Reason
    decision_id: str | None
    touchpoint: str
    offer_id: str | None
    channel: str | None
    creative: str | None
    action_probability: float
    degraded: bool
    replayed: bool
    ttl_s: int
    retry_at: str | None


def flat(answer: Answer) -> dict[str, Any]:
    """The answer flat; content under the name of one of its own fields gets the prefix `content_`."""
    selected = answer["selected"]
    told: FlatAnswer = {
        "action": answer["action"],
        "reason": answer["reason"],
        "decision_id": answer["decision_id"],
        "touchpoint": answer["touchpoint"],
        "offer_id": selected["offer_id"] if selected else None,
        "channel": selected["channel"] if selected else None,
        "creative": selected["creative"] if selected else None,
        "action_probability": answer["action_probability"],
        "degraded": answer["degraded"],
        "replayed": answer["replayed"],
        "ttl_s": answer["ttl_s"],
        "retry_at": answer["retry_at"],
    }
    content = selected["content"] if selected else {}
    return {**told, **{(f"content_{name}" if name in told else name): text for name, text in content.items()}}
