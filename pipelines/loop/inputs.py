"""What the steps of the loop read, as hashes: a step that reads the same again has nothing new to do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import file_digest, sha256
from pathlib import Path

import orjson

from decisioning.errors import InvalidInputError
from features.catalogue import load_catalogue
from features.importing.table_files import CATALOGUE_FOLDER, SUFFIXES
from features.log.contracts import TABLES
from features.log.event_log import EventLog
from features.log.tombstones import tombstones_of
from features.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopInputs:
    """What a run reads.

    Attributes:
        data: Hash of the data folder; None where none is named.
        catalogue: Version of the catalogue in force; None before the first.
        log: Version of each table of the log.
        erased: Hash of all erasures and readmissions.
    """

    data: str | None
    catalogue: str | None
    log: Mapping[str, str]
    erased: str

    def news_since(self, before: "LoopInputs | None") -> tuple[str, ...]:
        """What has changed since an earlier run, in words."""
        if before is None:
            return ("nothing was looked at yet",)
        tables = [name for name in self.log if self.log[name] != before.log.get(name)]
        return tuple(
            words
            for words, is_new in (
                ("the data folder has changed", self.data != before.data),
                ("another catalogue is in force", self.catalogue != before.catalogue),
                (f"the log has changed ({', '.join(tables)})", bool(tables)),
                ("customers were erased or readmitted", self.erased != before.erased),
            )
            if is_new
        )

    def with_data(self, data: str | None) -> "LoopInputs":
        """The same, with the hash of a data folder."""
        return replace(self, data=data)


def inputs_in(settings: Settings, data: Path | None) -> LoopInputs:
    """What a run would read now.

    Raises:
        InvalidInputError: The data folder is not there, or the catalogue in force is broken.
        LogUnavailableError: The log cannot be read.
    """
    tombstones = tombstones_of(settings).path
    return LoopInputs(
        data=None if data is None else folder_key(data),
        catalogue=catalogue_in_force(settings),
        log=log_versions(settings),
        erased=sha256(tombstones.read_bytes()).hexdigest() if tombstones.is_file() else "",
    )


def key_of(reads: Mapping[str, object]) -> str:
    """Hash of plain values."""
    return sha256(orjson.dumps(reads, option=orjson.OPT_SORT_KEYS)).hexdigest()


def folder_key(folder: Path) -> str:
    """Hash of everything an import would look at: tables and catalogue, by name and content.

    Raises:
        InvalidInputError: It is no folder.
    """
    if not folder.is_dir():
        raise InvalidInputError(f"data must be a folder of canonical tables, got {folder}; check the path")
    return key_of({str(path.relative_to(folder)): _content_key(path) for path in _files(folder)})


def log_versions(settings: Settings) -> dict[str, str]:
    """Version of each table of the log; empty for one that nobody wrote yet."""
    log = EventLog(settings.log_path)
    return {name: log.version_of(table) for name, table in TABLES.items()}


def catalogue_in_force(settings: Settings) -> str | None:
    """Version of the catalogue in force; None before the first."""
    return load_catalogue(settings.catalogue_path).version if settings.catalogue_path.is_dir() else None


def _files(folder: Path) -> Iterator[Path]:
    yield from (path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
    yield from (path for path in (folder / CATALOGUE_FOLDER).rglob("*") if path.is_file())


def _content_key(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
