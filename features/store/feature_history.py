"""The feature history on disk: Parquet files in generations, each complete, each put in place by one rename.

A generation is a folder `g-<number>` with a manifest, `decisions-*.parquet` (rows at the moments of decisions) and
`snapshot-*.parquet` (rows of all customers at the moment of a build). The highest number is in force. A new generation
links the files it keeps, so building adds and never edits; a crash leaves a folder that has no number and no reader.
`current` is a symbolic link to the one in force: an address that stays, for Feast's registry.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import orjson
import polars as pl

from decisioning.errors import FeatureUnavailableError
from features.computing.feature_schema import FeatureSchema
from features.durability import make_durable
from features.settings import Settings

CURRENT = "current"
MANIFEST = "manifest.json"
KNOWN_ROWS = "known-rows.bin"
"""Parquet too, under a name that no pattern for rows matches."""
KEPT_GENERATIONS = 2
"""The one in force, and one more for those who are still reading it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A complete feature history.

    Attributes:
        as_of: Moment of its snapshot.
        horizon: No row of it is later than this.
        kinds: Kind of every offer that decisions had, when it was built.
    """

    path: Path
    number: int
    fingerprint: str
    as_of: datetime
    horizon: datetime
    kinds: Mapping[str, str | None] = field(default_factory=dict[str, str | None])

    @property
    def glob(self) -> str:
        """Every Parquet file of it."""
        return str(self.path.resolve() / "*.parquet")

    def scan(self) -> pl.LazyFrame:
        """Its rows: `customer_id`, `event_timestamp`, a column per feature."""
        return pl.scan_parquet(self.glob)

    def known_rows(self) -> pl.DataFrame:
        """How many rows were known of each customer before the horizon: `customer_id`, `rows`."""
        return pl.read_parquet(self.path / KNOWN_ROWS)


def history_path(settings: Settings) -> Path:
    """Folder of the generations."""
    return settings.features_path / "history"


def current_files(settings: Settings) -> str:
    """Glob of the Parquet files in force; the same for every generation."""
    return str(history_path(settings).resolve() / CURRENT / "*.parquet")


def current_generation(settings: Settings) -> Generation | None:
    """The generation in force; None before the first build."""
    numbered = _numbered(settings)
    return _read(numbered[-1][1], numbered[-1][0]) if numbered else None


def built_history(settings: Settings, schema: FeatureSchema) -> Generation:
    """The generation in force, which must be of this schema.

    Raises:
        FeatureUnavailableError: Nothing was built yet, or under another catalogue.
    """
    generation = current_generation(settings)
    if generation is None:
        raise FeatureUnavailableError("feature history must be built first, got none: run `nextbest features build`")
    if generation.fingerprint != schema.fingerprint:
        raise FeatureUnavailableError(
            f"feature history must have the catalogue's schema {schema.fingerprint}, got {generation.fingerprint}: "
            "run `nextbest features build`"
        )
    return generation


def draft(settings: Settings) -> Path:
    """A new, empty folder for the next generation."""
    path = history_path(settings) / f"draft-{uuid4().hex}"
    path.mkdir(parents=True)
    return path


def put_in_force(settings: Settings, path: Path, generation: Generation, known_rows: pl.DataFrame) -> Generation:
    """Complete a draft, give it a number, put it in force, and remove what nobody reads any more."""
    numbered = _numbered(settings)
    number = numbered[-1][0] + 1 if numbered else 1
    known_rows.write_parquet(path / KNOWN_ROWS)
    manifest = {name: getattr(generation, name) for name in ("fingerprint", "as_of", "horizon", "kinds")}
    (path / MANIFEST).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
    for file in path.iterdir():
        make_durable(file)
    target = history_path(settings) / f"g-{number:06d}"
    path.rename(target)
    point_at(target)
    make_durable(target.parent)
    for _, old in numbered[: -(KEPT_GENERATIONS - 1)]:
        shutil.rmtree(old)
    for abandoned in history_path(settings).glob("draft-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    return _read(target, number)


def point_at(generation_path: Path) -> None:
    """Make `current` name this generation, in one step, unless it names a later one already."""
    current = generation_path.parent / CURRENT
    if current.is_symlink() and current.readlink().name >= generation_path.name:
        return
    link = generation_path.parent / f"link-{uuid4().hex}"
    link.symlink_to(generation_path.name, target_is_directory=True)
    link.replace(current)


def link_files(generation: Generation, pattern: str, into: Path) -> None:
    """Keep files of a generation in a draft without copying them."""
    for file in generation.path.glob(pattern):
        (into / file.name).hardlink_to(file)


def _numbered(settings: Settings) -> list[tuple[int, Path]]:
    return sorted((int(path.name[2:]), path) for path in history_path(settings).glob("g-*"))


def _read(path: Path, number: int) -> Generation:
    try:
        manifest = orjson.loads((path / MANIFEST).read_bytes())
        return Generation(
            path=path,
            number=number,
            fingerprint=manifest["fingerprint"],
            as_of=datetime.fromisoformat(manifest["as_of"]),
            horizon=datetime.fromisoformat(manifest["horizon"]),
            kinds=manifest["kinds"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FeatureUnavailableError(
            f"feature history must have a readable manifest, got {error}: "
            "delete the history folder below the features folder and run `nextbest features build`"
        ) from error
