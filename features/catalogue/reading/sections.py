"""Merge the sections of a folder's files, and remember where each field was written."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from decisioning.errors import InvalidInputError
from features.catalogue.reading.documents import Location, Value, YamlFile, dotted, read_document
from features.catalogue.reading.problems import CatalogueProblem

MAX_FILES = 200
MERGED = frozenset(
    {
        "customer_attributes",
        "offer_attributes",
        "measures",
        "goals",
        "touchpoints",
        "channels",
        "offers",
        "experiments",
        "holdouts",
        "levers",
        "limits",
        "shares",
        "classes",
    }
)
"""Sections whose entries may be spread over files; any other section is written in one file."""


@dataclass(slots=True, kw_only=True)
class Sections:
    """The sections of all files together."""

    values: dict[str, Value] = field(default_factory=dict)
    places: dict[Location, tuple[str, int]] = field(default_factory=dict)
    problems: list[CatalogueProblem] = field(default_factory=list)

    def place_of(self, location: Location) -> tuple[str, int]:
        """File and line of a field, or of the nearest field around it."""
        for length in range(len(location), 0, -1):
            if location[:length] in self.places:
                return self.places[location[:length]]
        return ".", 1

    def add(self, location: Location, rule: str, got: str, nearest: tuple[str, ...] = ()) -> None:
        """Note a problem at a field."""
        file, line = self.place_of(location)
        self.problems.append(
            CatalogueProblem(file=file, line=line, field=dotted(location), rule=rule, got=got, nearest=nearest)
        )


def read_sections(folder: Path) -> Sections:
    """Read and merge every `*.yaml` and `*.yml` file of a folder, in the order of their names.

    Raises:
        InvalidInputError: The folder is not there or holds no such file.
    """
    sections = Sections()
    for path in _files_of(folder):
        _merge(read_document(path), sections)
    return sections


def _files_of(folder: Path) -> Iterable[Path]:
    if not folder.is_dir():
        raise InvalidInputError(
            f"catalogue must be an existing folder of YAML files, got {folder}; `nextbest import DIR` brings one in"
        )
    files = sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"} and path.is_file())
    if not files or len(files) > MAX_FILES:
        raise InvalidInputError(f"catalogue must hold 1 to {MAX_FILES} files *.yaml, got {len(files)} in {folder}")
    return files


def _merge(document: YamlFile, sections: Sections) -> None:
    sections.problems.extend(document.problems)
    refused: set[Location] = set()
    for name, value in document.sections.items():
        merged = sections.values.get(name)
        if name not in sections.values:
            sections.values[name] = dict(value) if isinstance(value, dict) else value
        elif name in MERGED and isinstance(value, dict) and isinstance(merged, dict):
            refused |= {(name, entry) for entry in value if entry in merged}
            sections.values[name] = value | merged
        else:
            refused.add((name,))
    for location in sorted(refused, key=lambda each: document.lines[each]):
        _refuse(document, location, sections)
    for location, line in document.lines.items():
        if location[:1] not in refused and location[:2] not in refused:
            sections.places.setdefault(location, (document.file, line))


def _refuse(document: YamlFile, location: Location, sections: Sections) -> None:
    file, line = sections.place_of(location)
    rule = f"must be given once, the first is in {file}:{line}"
    sections.problems.append(
        CatalogueProblem(
            file=document.file, line=document.lines[location], field=dotted(location), rule=rule, got="it again"
        )
    )
