"""Archive of every policy that decided, for replay: catalogues by version, policies by hash.

    catalogues/<catalogue version>/*.yaml      the files, as they were, with the assignment ledger
    catalogues/policies/<policy version>.json  which catalogue, seed, unit and core behaviour made it

A copy is named by the hash of what it declares, so keeping it again changes nothing, and a copy that was changed is no
longer taken for what its name says.
"""

import shutil
from enum import StrEnum
from pathlib import Path
from secrets import token_hex
from typing import Any

import orjson

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.measure import Unit
from decisioning.errors import InvalidInputError, LogUnavailableError
from decisioning.policy import BEHAVIOUR_VERSION, Policy
from features.catalogue import load_catalogue
from features.catalogue.assignment import ledger as assignment_ledger
from features.durability import replace_file

POLICIES = "policies"
_CATALOGUE_SUFFIXES = frozenset({".yaml", ".yml"})
_UNREADABLE = (InvalidInputError, OSError, ValueError, KeyError, TypeError)


class Absence(StrEnum):
    """Why a policy of old cannot be built."""

    NEVER_KEPT = "never_kept"  # it decided before anything was kept, or elsewhere
    OTHER_BEHAVIOUR = "other_behaviour"  # another release decided: replay with that one
    DAMAGED = "damaged"  # the copy is not what its name says


class PolicyArchive:
    """Copies of catalogues and notes on policies below one folder; what was built once stays in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._built: dict[str, Policy | Absence] = {}
        self._catalogues: dict[str, Catalogue | None] = {}

    def keep(self, folder: Path, policy: Policy) -> bool:
        """Keep what a policy is made of (the catalogue's files among it), unless it is kept already.

        Returns:
            Whether it is kept; False where the files are no longer those that it was made of.

        Raises:
            LogUnavailableError: The copy could not be written.
        """
        note = self.path / POLICIES / f"{policy.version}.json"
        try:
            if note.exists() and (self.path / policy.catalogue.version).is_dir():
                return True
            is_kept = self._copy(folder, policy.catalogue.version)
            if is_kept:
                parts = {
                    "catalogue": policy.catalogue.version,
                    "seed": policy.seed,
                    "behaviour": BEHAVIOUR_VERSION,
                    "unit": policy.unit,
                }
                replace_file(note, orjson.dumps(parts, option=orjson.OPT_INDENT_2))
        except OSError as error:
            raise LogUnavailableError(
                f"catalogue copies must be writable, got {error.strerror} at {self.path}; repair or free the disk"
            ) from error
        return is_kept

    def policy(self, version: str) -> Policy | Absence:
        """A policy by its version, or why it cannot be built."""
        if version not in self._built:
            self._built[version] = self._build(version)
        return self._built[version]

    def catalogue(self, version: str) -> Catalogue | None:
        """The catalogue of a policy, whichever release decided with it; None where it was not kept, or is damaged."""
        if version not in self._catalogues:
            self._catalogues[version] = self._read_catalogue(version)
        return self._catalogues[version]

    def look_again(self) -> None:
        """Forget what was missing, which somebody may have brought back meanwhile."""
        self._built = {version: found for version, found in self._built.items() if isinstance(found, Policy)}
        self._catalogues = {version: found for version, found in self._catalogues.items() if found is not None}

    def _read_catalogue(self, version: str) -> Catalogue | None:
        try:
            return load_catalogue(self.path / self._note(version)["catalogue"])
        except _UNREADABLE:
            return None

    def ledger(self, version: str) -> assignment_ledger.Ledger | None:
        """The assignment of experiments while a policy was in force; None if it was not kept."""
        try:
            return assignment_ledger.read_ledger(self.path / self._note(version)["catalogue"])
        except _UNREADABLE:
            return None

    def _note(self, version: str) -> dict[str, Any]:
        return orjson.loads((self.path / POLICIES / f"{version}.json").read_bytes())

    def _copy(self, folder: Path, version: str) -> bool:
        """Copy the files; False where they are no longer those that the policy was made of."""
        target = self.path / version
        if target.is_dir():
            return True
        draft = self.path / f".{version}.{token_hex(4)}"
        try:
            draft.mkdir(parents=True)
            for path in folder.iterdir():
                if (path.suffix in _CATALOGUE_SUFFIXES or path.name == assignment_ledger.FILE) and path.is_file():
                    shutil.copy(path, draft)
            if _version_of(draft) != version:
                return False
            draft.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was faster
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return True

    def _build(self, version: str) -> Policy | Absence:
        try:
            parts = self._note(version)
            if parts["behaviour"] != BEHAVIOUR_VERSION:
                return Absence.OTHER_BEHAVIOUR
            unit = Unit(parts["unit"]) if "unit" in parts else None
            catalogue = load_catalogue(self.path / parts["catalogue"])
            policy = Policy(catalogue, parts["seed"], unit=unit)
        except FileNotFoundError:
            return Absence.NEVER_KEPT
        except _UNREADABLE:
            return Absence.DAMAGED
        return policy if policy.version == version else Absence.DAMAGED


def _version_of(folder: Path) -> str | None:
    try:
        return load_catalogue(folder).version
    except InvalidInputError:
        return None
