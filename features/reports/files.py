"""Reports kept as JSON files, one per moment they are about, so that every page shows the newest and old ones stay."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from decisioning.errors import InvalidInputError
from features.durability import replace_file

_NAME = "%Y-%m-%dT%H%M%SZ"


class Dated(Protocol):
    """What a stored report must have: the moment it is about, and the format it is stored in."""

    @property
    def as_of(self) -> datetime:
        """Aware."""
        ...

    @property
    def format_version(self) -> int:
        """Raised when a reader of the former format could not read it."""
        ...


class ReportFiles[Report: Dated]:
    """Reports of one kind: their stored form, and the folder's files."""

    def __init__(self, adapter: TypeAdapter[Report], *, name: str, command: str, format_version: int) -> None:
        """Name the kind in words, the command that makes one, and the format that can be read."""
        self._adapter, self._name, self._command, self._format = adapter, name, command, format_version

    def to_json(self, report: Report) -> bytes:
        """The stored form: indented UTF-8 JSON, times in ISO 8601."""
        return self._adapter.dump_json(report, indent=2)

    def from_json(self, payload: bytes) -> Report:
        """Read the stored form.

        Raises:
            InvalidInputError: It is no such report, or one of another format.
        """
        try:
            report = self._adapter.validate_json(payload)
        except ValidationError as error:
            raise InvalidInputError(
                f"{self._name} must be JSON written by `{self._command}`, got {error.error_count()} problems;"
                " run it again"
            ) from error
        if report.format_version != self._format:
            raise InvalidInputError(
                f"{self._name} format must be {self._format}, got {report.format_version}; run `{self._command}` again"
            )
        return report

    def write(self, folder: Path, report: Report) -> Path:
        """Store a report in place of an earlier one as of the same second; a reader never sees half of it."""
        path = folder / f"{report.as_of.astimezone(UTC):{_NAME}}.json"
        replace_file(path, self.to_json(report))
        return path

    def newest(self, folder: Path) -> Report:
        """The stored report about the latest moment.

        Raises:
            InvalidInputError: None is stored, or it is damaged.
        """
        paths = sorted(folder.glob("*.json"))
        if not paths:
            raise InvalidInputError(f"{self._name} must be stored before it is shown, got none; run `{self._command}`")
        return self.from_json(paths[-1].read_bytes())
