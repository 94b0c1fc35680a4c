"""From raw purchases to a promoted model and a filled Redis: each step only where its result is not there yet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.progress import Progress

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError
from features.catalogue import load_catalogue
from features.importing.folder import import_folder
from features.progress import OnProgress
from features.settings import Settings
from features.store.builder import build_features
from features.store.materialisation import materialise
from training.registry.promotion import list_models, promote
from training.registry.training_run import train_model

type Write = Callable[[Path, OnProgress], Mapping[str, int]]
"""Writes canonical tables and a catalogue into a folder, and says how many rows each table got."""


type PreparationStep = tuple[str, Callable[[OnProgress], str]]
"""One line of the demo: what it does in words, and what does it and says how it went."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What the steps work on.

    Attributes:
        source: What its tables are made from, in words.
        write: Makes them; needs nothing but the installed packages.
        redis_url: The Redis that decisions will read.
        now: The moment of this run (aware, UTC).
    """

    settings: Settings
    example: str
    source: str
    write: Write
    redis_url: str
    now: datetime

    @property
    def tables(self) -> Path:
        """Folder of the example's canonical tables."""
        return tables_of(self.settings, self.example)

    def steps(self) -> tuple[PreparationStep, ...]:
        """The steps in order."""
        return (
            (f"write {self.source} as canonical tables", self._write),
            ("import them into the log (Delta)", self._import),
            ("build point-in-time features, register them (Feast)", self._build),
            ("materialise features and profiles (Redis)", self._materialise),
            ("train a model, track and register it (MLflow)", self._train),
            ("promote it", self._promote),
        )

    def _write(self, on_progress: OnProgress) -> str:
        if (self.tables / "customers.parquet").is_file():
            return "already there"
        rows = self.write(self.tables, on_progress)
        return ", ".join(f"{count:,} {table}" for table, count in rows.items())

    def _import(self, on_progress: OnProgress) -> str:
        report = import_folder(self.tables, self.settings, on_progress, now=self.now)
        inserted = sum(table.inserted for table in report.tables)
        known = sum(table.duplicates for table in report.tables)
        rejected = sum(table.rejected for table in report.tables)
        return f"{inserted:,} rows inserted, {known:,} known already, {rejected:,} rejected"

    def _build(self, on_progress: OnProgress) -> str:
        report = build_features(self.settings, self._catalogue(), self.now, on_progress)
        return f"{report.features} features, {report.rows_built:,} rows built, {report.rows_kept:,} kept"

    def _materialise(self, on_progress: OnProgress) -> str:
        report = materialise(self.settings, self._catalogue(), self.redis_url, progress=on_progress)
        return f"{report.feature_records:,} feature records, {report.profiles:,} profiles"

    def _train(self, on_progress: OnProgress) -> str:
        if known := list_models(self.settings):
            return f"version {known[0].version} is there already"
        report = train_model(self.settings, now=self.now, on_progress=on_progress)
        return f"version {report.version} from {report.decisions:,} decisions"

    def _promote(self, _on_progress: OnProgress) -> str:
        if champion := next((row for row in list_models(self.settings) if row.is_champion), None):
            return f"version {champion.version} is the champion already"
        entry = promote(self.settings, None, now=self.now, by="demo")
        return f"version {entry.version} decides from now on"

    def _catalogue(self) -> Catalogue:
        return load_catalogue(self.settings.catalogue_path)


def tables_of(settings: Settings, example: str) -> Path:
    """Folder of an example's canonical tables in a home."""
    return settings.home / "examples" / example


def check_home(settings: Settings, example: str) -> None:
    """Refuse a home where something else is in force.

    Raises:
        InvalidInputError: A catalogue is in force that no earlier demo of this example brought there.
    """
    tables = tables_of(settings, example)
    if tables.is_dir() or not any(settings.catalogue_path.glob("*.yaml")):
        return
    others = sorted(path.name for path in tables.parent.glob("*") if path.is_dir())
    holds = f"the example {', '.join(others)}" if others else "a catalogue of your own"
    raise InvalidInputError(
        f"home must be new or one of an earlier demo of {example}, got {settings.home} with {holds}; "
        "choose another folder with --home" + (f", or --example {others[0]}" if others else "")
    )


def run_steps(steps: tuple[PreparationStep, ...], bar: Progress) -> None:
    """Run the steps, each with a bar that ends in its own words."""
    for number, (title, run) in enumerate(steps, start=1):
        task = bar.add_task(f"{number} {title}", total=None)
        words = run(lambda done, total, task=task: bar.update(task, completed=done, total=total))
        bar.update(task, total=1, completed=1)
        bar.console.print(f"  [green]{number}[/] {title}: {words}", highlight=False, soft_wrap=True)
        bar.remove_task(task)
