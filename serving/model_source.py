"""The champion as a server sees it: fetched off the hot path, checked by digest, kept while the registry is away."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from decisioning.errors import ModelUnavailableError, UnavailableError
from decisioning.value_model import ValueModel
from features.model_bundle import load_value_model


class Champion(Protocol):
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
        fetch: Gives the champion's local copy; raises `UnavailableError` where there is none or nobody can say.
        model: The model in use; None before the first one.
        problem: Why the newest champion is not the model in use; None where it is.
    """

    fetch: Callable[[], Champion]
    model: ValueModel | None = None
    problem: str | None = "no model was looked for yet"
    _loaded_from: Path | None = field(default=None, init=False)

    def refresh(self) -> bool:
        """Look for another champion; True where there is one and it is in use now."""
        try:
            champion = self.fetch()
            if champion.folder == self._loaded_from:
                self.problem = None
                return False
            model = load_value_model(champion.folder, version=champion.version)
        except (ModelUnavailableError, UnavailableError) as error:
            self.problem = str(error)
            return False
        self.model, self.problem, self._loaded_from = model, None, champion.folder
        return True
