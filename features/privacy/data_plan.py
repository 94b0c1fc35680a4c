"""The data plan: what is collected, where and for what, what uses it, and what nobody uses."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson
import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES, Table
from features.log.event_log import EventLog
from features.log.event_types import StateEventType
from features.privacy.catalogue_uses import asked_attributes, case_events, measured, rule_facts, template_attributes
from features.privacy.engine_uses import ENGINE_USES
from features.privacy.lineage import feature_lineage
from features.privacy.purposes import DataRules, kept_days

SAMPLED_ROWS = 50_000
"""Newest rows of a table whose JSON is looked into for names."""

_NESTED = {CUSTOMERS.name: "attributes", EVENTS.name: "properties", OUTCOMES.name: "properties"}
_JOURNEY = frozenset({"stage_index", "stage_age_days"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Datum:
    """One kind of data.

    Attributes:
        name: Dotted: `customers.locale`, `customers.attributes.age`, `events.browse`, `events.browse.page`.
        rows: Rows that have it, among the newest `SAMPLED_ROWS` where it stands in JSON.
        is_declared: Whether the catalogue says so; else the purpose is the engine's own.
        kept_days: How long it is kept; None until it is erased.
        engine: What the engine itself does with it.
        features: Features that are made of it.
        models: Models that such a feature has a say in: `champion` where its importance is above 0.
        rules: Rules that ask for it, or for a feature that is made of it.
        templates: Messages whose wording names it.
        measures: Measures and kinds of case that count it.
    """

    name: str
    rows: int
    purpose: str
    is_declared: bool
    kept_days: int | None
    engine: str
    features: tuple[str, ...]
    models: tuple[str, ...]
    rules: tuple[str, ...]
    templates: tuple[str, ...]
    measures: tuple[str, ...]

    @property
    def is_used(self) -> bool:
        """Whether anything looks at it."""
        return bool(self.engine or self.features or self.rules or self.templates or self.measures)


def data_plan(
    log: EventLog, catalogue: Catalogue, rules: DataRules, *, importance: Mapping[str, float] | None
) -> list[Datum]:
    """Every kind of data that the log holds or the catalogue declares, by table and name.

    Raises:
        LogUnavailableError: The log could not be read.
    """
    rows = _collected(log)
    for attribute in catalogue.customer_attributes:
        rows.setdefault(f"customers.attributes.{attribute.name}", 0)
    uses = _Uses(catalogue, importance or {})
    return [uses.datum(name, rows[name], rules) for name in sorted(rows)]


class _Uses:
    """Everything that looks at data, looked up by the data's name."""

    def __init__(self, catalogue: Catalogue, importance: Mapping[str, float]) -> None:
        self._lineage = feature_lineage(catalogue)
        self._important = {name for name, gain in importance.items() if gain > 0}
        self._facts = rule_facts(catalogue)
        self._templates = template_attributes(catalogue)
        self._measures = measured(catalogue)
        self._cases = case_events(catalogue)
        self._asked = asked_attributes(catalogue)

    def datum(self, name: str, rows: int, declared: DataRules) -> Datum:
        features = self._lineage.get(name, ())
        attribute = name.removeprefix("customers.attributes.") if name.startswith("customers.attributes.") else None
        wordings = self._templates.get(attribute or "", ())
        asked = tuple(f"asked for by {offer}" for offer in self._asked.get(attribute or "", ()))
        cases = tuple(f"case {kind}" for kind in self._cases.get(name, ()))
        return Datum(
            name=name,
            rows=rows,
            purpose=declared.purpose_of(name),
            is_declared=declared.is_declared(name),
            kept_days=kept_days(declared, name.partition(".")[0]),
            engine=_engine_use(name),
            features=features,
            models=("champion",) if self._important.intersection(features) else (),
            rules=(*self._rules(name, features, attribute), *asked),
            templates=wordings,
            measures=(*self._measures.get(name, ()), *cases),
        )

    def _rules(self, name: str, features: Iterable[str], attribute: str | None) -> tuple[str, ...]:
        """Stage features are made of everything that stage rules ask for, so they are no use of their own."""
        asked = {*features} - _JOURNEY
        found = {place for fact, places in self._facts.items() if fact in asked for place in places}
        if attribute is not None:
            found.update(self._facts.get(f"customer.{attribute}", ()))
        table, _, kind = name.partition(".")
        if table == EVENTS.name and kind:
            live = (fact for fact in self._facts if fact.startswith(f"live.{kind}_"))
            found.update(place for fact in live for place in self._facts[fact])
        return tuple(sorted(found))


def _engine_use(name: str) -> str:
    """The engine's own use; that of a state event is its properties' as well."""
    parts = name.split(".")
    if parts[0] == EVENTS.name and len(parts) > 1 and parts[1] in {*map(str, StateEventType)}:
        return "changes live state"
    return ENGINE_USES.get(name, "")


def _collected(log: EventLog) -> dict[str, int]:
    found: dict[str, int] = {}
    for table in (CUSTOMERS, EVENTS, DECISIONS, OUTCOMES):
        counts = log.collect(table, log.scan(table).select(pl.all().count())).row(0, named=True)
        found |= {f"{table.name}.{name}": count for name, count in counts.items() if count}
        if table.name in _NESTED:
            found |= _nested(log, table, _NESTED[table.name])
        if table.name in {EVENTS.name, OUTCOMES.name}:
            types = log.collect(table, log.scan(table).group_by("type").len())
            found |= {f"{table.name}.{kind}": count for kind, count in types.iter_rows()}
    return found


def _nested(log: EventLog, table: Table, column: str) -> dict[str, int]:
    """Names in a JSON column; those of events and outcomes below their type."""
    kind = pl.lit(column) if table.name == CUSTOMERS.name else pl.col("type")
    rows = log.scan(table).filter(pl.col(column).is_not_null()).top_k(SAMPLED_ROWS, by=table.time_column)
    counts: Counter[str] = Counter()
    for below, text in log.collect(table, rows.select(kind.alias("below"), column)).iter_rows():
        value = orjson.loads(text)
        counts.update(f"{table.name}.{below}.{name}" for name in (value if isinstance(value, dict) else ()))
    return dict(counts)
