"""The data plan and what retention did, as people read them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table as RichTable

if TYPE_CHECKING:
    from features.privacy.data_plan import Datum
    from features.privacy.retention import Retained

_SHOWN = 3


def print_plan(plan: "Sequence[Datum]") -> None:
    """A line per kind of data; what nothing uses says so."""
    table = RichTable(title="data plan", title_justify="left")
    for name in ("data", "rows", "what for", "kept", "used by"):
        table.add_column(name, justify="right" if name == "rows" else "left", overflow="fold")
    for one in plan:
        purpose = one.purpose + ("" if one.is_declared else " *")
        kept = "until erased" if one.kept_days is None else f"{one.kept_days} days"
        table.add_row(one.name, f"{one.rows:,}", purpose, kept, _used_by(one) or "[bold]nothing[/bold]")
    console = Console(highlight=False)
    console.print(table)
    unused = sum(not one.is_used for one in plan)
    console.print(f"{len(plan)} kinds of data, {unused} that nothing uses; * not declared in data_purposes")


def _used_by(one: "Datum") -> str:
    parts = [one.engine] if one.engine else []
    for word, names in (
        ("features", one.features),
        ("model", one.models),
        ("rules", one.rules),
        ("wordings", one.templates),
        ("measures", one.measures),
    ):
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            parts.append(f"{word}: {', '.join(names[:_SHOWN])}{more}")
    return "; ".join(parts)


def print_retained(found: "Sequence[Retained]", *, is_dry_run: bool) -> None:
    """A line per place."""
    table = RichTable(title="would be deleted" if is_dry_run else "deleted", title_justify="left")
    for name in ("place", "kept", "older than", "rows"):
        table.add_column(name, justify="right" if name == "rows" else "left")
    for one in found:
        if one.before is None:
            table.add_row(one.place, "until erased", "", "")
        else:
            table.add_row(one.place, f"{one.days} days", f"{one.before:%Y-%m-%d %H:%M} UTC", f"{one.deleted:,}")
    Console(highlight=False).print(table)
