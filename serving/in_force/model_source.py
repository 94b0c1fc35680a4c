"""The champion in a server: fetched off the hot path, checked by digest, kept while the registry is down."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from decisioning.errors import ModelUnavailableError, UnavailableError
from decisioning.value_model import ValueModel
from features.models.bundle import load_value_model
from features.models.registry import NoChampionYetError


class LocalModel(Protocol):
    """A champion's local copy."""

    @property
    def version(self) -> str:
        """Registered version."""
        ...

    @property
    def folder(self) -> Path:
        """Where `load_value_model` finds it; another version or run lies elsewhere."""
        ...


@dataclass(slots=True, kw_only=True)
class ModelSource:
    """Keeps the newest champion that could be loaded.

    Attributes:
        fetch: Gives the champion's local copy; raises `UnavailableError` where there is none or the registry does not
            answer.
        model: The model in use; None before the first one.
        problem: Why the newest champion is not the model in use; None where it is, and where none was ever promoted.
        is_cold_start: No champion was ever in force; declared values and exploration decide until there is one.
    """

    fetch: Callable[[], LocalModel]
    model: ValueModel | None = None
    problem: str | None = "no model was looked for yet"
    is_cold_start: bool = False
    _loaded_from: Path | None = field(default=None, init=False)

    def refresh(self) -> bool:
        """Look for another champion; True where it is in use now, and where it turns out that there never was one."""
        was_cold, self.is_cold_start = self.is_cold_start, False
        try:
            champion = self.fetch()
            if champion.folder == self._loaded_from:
                self.problem = None
                return False
            model = load_value_model(champion.folder, version=champion.version)
        except NoChampionYetError as error:
            self.is_cold_start = self.model is None
            self.problem = None if self.is_cold_start else str(error)
            return self.is_cold_start and not was_cold
        except (ModelUnavailableError, UnavailableError) as error:
            self.problem = str(error)
            return was_cold
        self.model, self.problem, self._loaded_from = model, None, champion.folder
        return True
