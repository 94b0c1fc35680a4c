"""The README's picture: one decision from question to answer, drawn from its record.

curl -s http://127.0.0.1:8000/v1/decisions/ID | python -m pipelines.pages.decision_picture > docs/decision.svg
"""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape

import orjson

from decisioning.catalogue.message import SILENCE, message_parts
from decisioning.decision import Decision, Evaluated
from decisioning.explanation.customer_texts import spoken_channel
from decisioning.explanation.plain_words import exclusion_words
from decisioning.explanation.spoken_names import spoken
from decisioning.record.document import decision_from_record

WIDTH = 960
ROW = 27
TOP = 96
MOST_GATES = 8
MOST_MESSAGES = 8
GATES_X, WORTH_X, BAR_X, CHANCE_X = 28, 440, 676, 812
BAR_WIDTH = 88

STYLE = """
  .card { fill: #ffffff; stroke: #d9d6cf } .head { fill: #596273; font-size: 12px; letter-spacing: .06em }
  text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #1c2330 }
  .title { font-size: 18px; font-weight: 600 } .muted { fill: #596273 } .number { text-anchor: end }
  .chosen { font-weight: 600; fill: #1f6a4c } .band { fill: #e4f1ea } .bar { fill: #24437c } .loss { fill: #9c3322 }
  .best { fill: #1f6a4c } .line { stroke: #d9d6cf } .refused { fill: #9c3322 }
  @media (prefers-color-scheme: dark) {
    .card { fill: #191e26; stroke: #2b333f } text { fill: #e8ebf0 } .muted, .head { fill: #a3adbb }
    .chosen { fill: #83cfa9 } .band { fill: #17312a } .bar { fill: #9dbdf5 } .loss, .refused { fill: #f0a393 }
    .best { fill: #83cfa9 } .line { stroke: #2b333f }
  }
"""


def decision_picture(record: Mapping[str, Any], currency: str = "EUR") -> str:
    """An SVG of one decision: the messages that the gates refused, what the others are worth, and what was chosen.

    Args:
        record: Record of a decision, as `GET /v1/decisions/{id}` answers it.
        currency: Name of the currency of its amounts.

    Raises:
        InvalidInputError: It is no record of a decision.
    """
    decision = decision_from_record(record)
    rows = max(len(_gate_counts(decision)), len(_shown(decision)))
    height = TOP + rows * ROW + 76
    parts = (_title(decision), _gates(decision), _worth(decision, currency), _answer(decision, height))
    lines = [line for part in parts for line in part]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(_answer_words(decision))}">\n<style>{STYLE}</style>\n'
        f'<rect class="card" x="1" y="1" width="{WIDTH - 2}" height="{height - 2}" rx="14"/>\n'
        + "\n".join(lines)
        + "\n</svg>\n"
    )


def _title(decision: Decision) -> Iterator[str]:
    moment = f"{decision.decided_at:%-d %B %Y, %H:%M} UTC"
    stage = f", stage “{spoken(decision.stage_id)}”" if decision.stage_id else ""
    yield _text(GATES_X, 38, f"What should customer {decision.customer_id} get now?", "title")
    yield _text(GATES_X, 60, f"{spoken(decision.touchpoint_id)}{stage}, {moment}", "muted")


def _gates(decision: Decision) -> Iterator[str]:
    total = len(decision.excluded) + len(decision.evaluated) - 1
    yield _text(GATES_X, TOP, f"GATES: {len(decision.excluded)} OF {total} MESSAGES REFUSED", "head")
    for row, (words, count) in enumerate(_gate_counts(decision), start=1):
        yield _text(GATES_X + 22, TOP + row * ROW, str(count), "number refused")
        yield _text(GATES_X + 34, TOP + row * ROW, words)


def _gate_counts(decision: Decision) -> list[tuple[str, int]]:
    """How many messages each gate refused; a message counts at the first gate that refused it."""
    counts = Counter(exclusion_words(one.reasons[0]) for one in decision.excluded).most_common()
    rest = sum(count for _, count in counts[MOST_GATES:])
    return counts[:MOST_GATES] + ([("other reasons", rest)] if rest else [])


def _worth(decision: Decision, currency: str) -> Iterator[str]:
    yield _text(WORTH_X, TOP, f"WORTH OVER SILENCE, {currency}", "head")
    yield _text(CHANCE_X + 120, TOP, "PROBABILITY", "head number")
    shown = _shown(decision)
    scale = max(abs(one.priority_minor) for one in shown) or 1.0
    for row, one in enumerate(shown, start=1):
        yield from _message(one, TOP + row * ROW, scale, is_chosen=one.message_key == decision.message_key)


def _shown(decision: Decision) -> list[Evaluated]:
    """The candidates with the highest priority, the chosen one and silence always among them."""
    always = {SILENCE, decision.message_key}
    others = [one for one in decision.evaluated if one.message_key not in always]
    room = MOST_MESSAGES - sum(one.message_key in always for one in decision.evaluated)
    kept = always | {one.message_key for one in others[:room]}
    return sorted((one for one in decision.evaluated if one.message_key in kept), key=lambda one: -one.priority_minor)


def _message(one: Evaluated, y: float, scale: float, *, is_chosen: bool) -> Iterator[str]:
    mark = " chosen" if is_chosen else ""
    if is_chosen:
        yield f'<rect class="band" x="{WORTH_X - 10}" y="{y - 18}" width="{WIDTH - WORTH_X - 10}" height="26" rx="6"/>'
    yield _text(WORTH_X, y, _message_words(one.message_key), mark)
    length = max(abs(one.priority_minor) / scale * BAR_WIDTH, 1.0)
    kind = "best" if is_chosen else "loss" if one.priority_minor < 0 else "bar"
    yield f'<rect class="{kind}" x="{BAR_X}" y="{y - 11}" width="{length:.1f}" height="12" rx="3"/>'
    yield _text(BAR_X + BAR_WIDTH + 64, y, f"{one.priority_minor / 100:+.2f}", "number" + mark)
    yield _text(CHANCE_X + 120, y, f"{one.probability:.1%}", "number" + mark)


def _answer(decision: Decision, height: int) -> Iterator[str]:
    yield f'<line class="line" x1="{WORTH_X - 24}" y1="{TOP - 12}" x2="{WORTH_X - 24}" y2="{height - 68}"/>'
    yield f'<line class="line" x1="{GATES_X}" y1="{height - 52}" x2="{WIDTH - GATES_X}" y2="{height - 52}"/>'
    yield _text(GATES_X, height - 20, _answer_words(decision), "chosen")


def _answer_words(decision: Decision) -> str:
    if decision.message_key == SILENCE:
        return f"Answer: send nothing, with probability {decision.action_probability:.1%}"
    return f"Answer: send “{_message_words(decision.message_key)}” with probability {decision.action_probability:.1%}"


def _message_words(key: str) -> str:
    parts = message_parts(key)
    return SILENCE if parts is None else f"{spoken(parts.offer_id)}, {spoken_channel(parts.channel_id)}"


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    return f'<text x="{x}" y="{y}"{f' class="{kind.strip()}"' if kind else ""}>{escape(words)}</text>'


if __name__ == "__main__":
    sys.stdout.write(decision_picture(orjson.loads(sys.stdin.buffer.read())))
