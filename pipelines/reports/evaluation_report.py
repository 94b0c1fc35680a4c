"""An evaluation as tables for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

_NAMES = {"dr": "doubly robust", "snips": "self-normalised", "ips": "weighted"}


def print_evaluation(found: Mapping[str, Any]) -> None:
    """Print `training.off_policy.output.evaluation_document`: values, differences, messages, and what to know."""
    console = Console()
    cap = f", transactions capped at {found['cap']:,.2f}" if found["cap"] is not None else ""
    net = ", net of contact costs" if _has_costs(found) else ""
    console.print(
        f"{found['reward']} per decision ({found['unit']}{cap}{net}), model {found['model_version']},"
        f" {found['decisions']:,} decisions of {found['customers']:,} customers, 95 % intervals clustered by customer",
        highlight=False,
    )
    console.print(_values(found))
    console.print(_differences(found))
    console.print(_messages(found))
    for name, segments in found["by"].items():
        console.print(_segments(name, segments))
    if found["constrained"] is not None:
        for one in _constrained(found["constrained"]):
            console.print(one, highlight=False, markup=False)
    for line in _remarks(found):
        console.print(line, highlight=False, markup=False)


def _has_costs(found: Mapping[str, Any]) -> bool:
    return any(policy["contact_cost"] for policy in found["policies"].values())


def _values(found: Mapping[str, Any]) -> Table:
    table = Table("policy", *_NAMES.values(), "effective size", show_lines=True)
    for name, policy in found["policies"].items():
        cells = [_interval(policy[one]) for one in _NAMES]
        table.add_row(_words(name), *cells, f"{policy['effective_sample_size'] or 0:,.0f}")
    return table


def _differences(found: Mapping[str, Any]) -> Table:
    table = Table("paired difference", *_NAMES.values(), show_lines=True)
    for one in found["differences"]:
        table.add_row(
            f"{_words(one['policy'])} less {_words(one['against'])}",
            *(_interval(one[name], signed=True) for name in _NAMES),
        )
    return table


def _messages(found: Mapping[str, Any]) -> Table:
    table = Table("message", "logged", "chosen", "both", "mean probability")
    for one in sorted(found["messages"], key=lambda one: -one["chosen"]):
        counts = [f"{one[name]:,}" for name in ("logged", "chosen", "matched")]
        table.add_row(one["message"], *counts, f"{one['probability']:.3f}")
    return table


def _segments(name: str, segments: Sequence[Mapping[str, Any]]) -> Table:
    """What the policy is worth within groups, doubly robust."""
    against = ("silence", "best_single_message", "logging_policy")
    table = Table(name, "decisions", "greedy", *(f"less {_words(one)}" for one in against), show_lines=True)
    for one in segments:
        gaps = {pair["against"]: pair["dr"] for pair in one["differences"] if pair["policy"] == "greedy"}
        cells = [_interval(gaps.get(other), signed=True) for other in against]
        table.add_row(one["group"], f"{one['decisions']:,}", _interval(one["policies"]["greedy"]["dr"]), *cells)
    return table


def _constrained(found: Mapping[str, Any]) -> list[str | Table]:
    """Values within limits, differences and messages."""
    values, counts = _values(found), Table("message", "planned", "at random")
    for one in sorted(found["messages"], key=lambda one: -one["planned"]):
        counts.add_row(one["message"], f"{one['planned']:,}", f"{one['random']:,.1f}")
    problems = [f"{_words(name)}: {one['problem']}" for name, one in found["policies"].items() if one["problem"]]
    short = dict.fromkeys(text for wave in found["waves"] for text in wave["shortfalls"])
    waves = f"{len(found['waves']):,} waves, each planned within limits: {'; '.join(found['limits'])}"
    return [waves, values, _differences(found), counts, *problems, *short]


def _remarks(found: Mapping[str, Any]) -> list[str]:
    lines = [f"{_words(name)}: {policy['problem']}" for name, policy in found["policies"].items() if policy["problem"]]
    lines += [f"best single message (chosen on training data): {found['best_single_message'] or 'not known'}"]
    lines += [f"outcome model: {found['outcome_model']}"]
    lines += [
        f"{_words(name)}: {beyond['value']:,.4g} [{beyond['lower']:,.4g}, {beyond['upper']:,.4g}] of it is stage credit"
        for name, policy in found["policies"].items()
        if (beyond := policy["beyond_window"]) is not None
    ]
    lines += [f"valued without {what}: {count:,} decisions" for what, count in found["valued_without"].items() if count]
    for group in ("left_out", "unmatched"):
        lines += [f"{reason}: {count:,} decisions" for reason, count in found[group].items() if count]
    if found["put_off"]:
        lines.append(
            f"serving would put off to a better hour: {found['put_off']:,} decisions; they are valued as made at the"
            " logged hour, so what waiting adds is in no number here: see nextbest model show"
        )
    return [*lines, f"choices: {found['out']}"] if found["out"] else lines


def _words(name: str) -> str:
    return name.replace("_", " ")


def _interval(interval: Mapping[str, float] | None, *, signed: bool = False) -> str:
    if interval is None:
        return "not known"
    digits = 2 if interval["upper"] - interval["lower"] >= 0.1 else 4  # noqa: PLR2004 - a rate needs more of them
    sign = "+" if signed else ""
    value, lower, upper = (f"{interval[name]:{sign},.{digits}f}" for name in ("value", "lower", "upper"))
    return f"{value}\n{lower} to {upper}"
