"""A challenger in place of the registry's."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from decisioning.errors import ModelUnavailableError
from features.models.bundle import write_bundle
from features.models.rollout import ROLLOUT_ALIAS


@pytest.fixture
def challenger(tmp_path: Path) -> Callable[..., Callable[[str], SimpleNamespace]]:
    """Makes what fetches a bundle as version 8, by its alias only."""

    def made(bundle: Any) -> Callable[[str], SimpleNamespace]:
        write_bundle(bundle, tmp_path / "challenger")

        def fetch(alias: str) -> SimpleNamespace:
            if alias != ROLLOUT_ALIAS:
                raise ModelUnavailableError(f"nobody has the alias {alias}")
            return SimpleNamespace(version="8", folder=tmp_path / "challenger")

        return fetch

    return made
