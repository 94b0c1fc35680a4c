"""A challenger beside the champion: which one, and whether it only looks on (shadow) or decides for some (canary).

What is under way is one file below the home, which servers look at every two seconds; the version itself holds an alias
in the registry, so that it is fetched and checked like a champion.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from decisioning.draw import unit_hash
from decisioning.errors import ModelUnavailableError
from features.durability import replace_file
from features.settings import Settings

ROLLOUT_ALIAS = "rollout"
"""Alias of the challenger in the registry."""


class RolloutKind(StrEnum):
    """What a challenger does."""

    SHADOW = "shadow"
    CANARY = "canary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A challenger at work.

    Attributes:
        version: Registered version of the challenger.
        share: Share of customers whom it decides for, in [0, 1]; 0 for a shadow.
        began_at: Since when (aware, UTC).
        by: The account that started it.
    """

    kind: RolloutKind
    version: str
    share: float
    began_at: datetime
    by: str = ""

    @property
    def name(self) -> str:
        """Tells this rollout from every other one."""
        return f"{self.kind}-{self.version}-{self.began_at:%Y%m%dT%H%M%S%f}"

    def takes(self, customer_id: str) -> bool:
        """Whether the challenger decides for a customer; the same answer for as long as the rollout lasts.

        Who is in a small share is in a larger one of the same version, too.
        """
        return unit_hash("rollout", self.version, customer_id) < self.share


_FORM = TypeAdapter(Rollout)


def read_rollout(settings: Settings) -> Rollout | None:
    """The rollout that is under way; None where there is none.

    Raises:
        ModelUnavailableError: The file cannot be read.
    """
    path = _path(settings)
    try:
        return _FORM.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise ModelUnavailableError(
            f"{path} must describe a rollout, got something else; run `nextbest rollout stop`"
        ) from error


def write_rollout(settings: Settings, rollout: Rollout | None) -> None:
    """Start a rollout, or end the one that is under way; it is on the disk on return.

    Raises:
        ModelUnavailableError: The folder cannot be written.
    """
    path = _path(settings)
    try:
        if rollout is None:
            path.unlink(missing_ok=True)
        else:
            replace_file(path, orjson.dumps(rollout), is_durable=True)
    except OSError as error:
        raise ModelUnavailableError(f"{path} must be writable, got {error.strerror}; give access") from error


def _path(settings: Settings) -> Path:
    return settings.home / "rollout.json"
