"""Ending the rollout of a challenger, by whom or whatever it is ended, with an entry in the ledger."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from decisioning.errors import InvalidInputError, ModelUnavailableError, UnavailableError
from features.locks import held
from features.models.registry import find_champion, registry_is_made
from features.models.rollout import ROLLOUT_ALIAS, read_rollout, write_rollout
from features.settings import Settings
from training.registry.promotion_ledger import Promotion, append

ENDED = "end rollout"

_PATIENCE_S = 30.0
"""How long one command waits for another that starts or ends a rollout."""


def end_rollout(
    settings: Settings,
    *,
    now: datetime,
    reason: str,
    by: str = "",
    action: str = ENDED,
    numbers: Mapping[str, float] | None = None,
) -> Promotion:
    """End the rollout under way: from now on the champion decides for everybody; servers follow within seconds.

    Raises:
        InvalidInputError: None is under way.
    """
    with alone(settings):
        version = _version_under_way(settings)
        if version is None:
            raise InvalidInputError("a rollout must be under way to be ended, got none; see `nextbest rollout status`")
        write_rollout(settings, None)
        champion = find_champion(settings) if registry_is_made(settings) else None
        entry = Promotion(
            action=action,
            version=version,
            former=None if champion is None else champion.version,
            at=now.isoformat(),
            by=by,
            reason=reason,
            numbers=dict(numbers or {}),
        )
        append(settings, entry)
    return entry


def end_with_promotion(settings: Settings, version: str, *, at: str, by: str) -> None:
    """End the rollout of a version that has become the champion: it decides for everybody now."""
    if _version_under_way(settings) is None:
        return
    with alone(settings):
        if _version_under_way(settings) != version:
            return
        write_rollout(settings, None)
        entry = Promotion(action=ENDED, version=version, former=version, at=at, by=by, reason="it became the champion")
        append(settings, entry)


def _version_under_way(settings: Settings) -> str | None:
    """The challenger under way; of a description that cannot be read, the one that the registry names."""
    try:
        rollout = read_rollout(settings)
    except ModelUnavailableError:
        named = find_champion(settings, ROLLOUT_ALIAS) if registry_is_made(settings) else None
        return "unknown" if named is None else named.version
    return None if rollout is None else rollout.version


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Only one command at a time starts or ends a rollout."""
    busy = UnavailableError(
        f"only one command may start or end a rollout of {settings.home} at a time, got a second one; try again"
    )
    with held(settings.models_path / "rollout.lock", busy, wait_seconds=_PATIENCE_S):
        yield
