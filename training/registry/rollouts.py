"""Starting the rollout of a challenger, with an entry in the ledger."""

from datetime import datetime

from decisioning.errors import InvalidInputError, NoModelError
from features.catalogue import load_catalogue
from features.models.fit import check_promotable
from features.models.registry import MODEL_NAME, find_champion, registry_is_made
from features.models.rollout import ROLLOUT_ALIAS, Rollout, RolloutKind, read_rollout, write_rollout
from features.settings import Settings
from training.registry.promotion import find_version, fit_of
from training.registry.promotion_ledger import Promotion, append
from training.registry.rollout_end import alone
from training.registry.tracking import tracking


def start_rollout(
    settings: Settings,
    kind: RolloutKind,
    version: str | None = None,
    *,
    share: float = 0.0,
    now: datetime,
    by: str = "",
) -> Promotion:
    """Let a registered version look on, or decide for a share of customers; servers follow within seconds.

    Args:
        settings: Which registry, and the catalogue in force.
        kind: Whether it looks on or decides.
        version: Which; default the newest.
        share: Of customers whom a canary decides for, in (0, 1).
        now: When it begins (aware, UTC).
        by: The account that asks.

    Raises:
        InvalidInputError: Another rollout is under way, it does not fit the catalogue, or it is the champion.
        NoModelError: There is no champion beside which it could decide.
        ModelUnavailableError: The version's files are damaged.
        UnknownNameError: No such version.
        UnavailableError: The registry is away.
    """
    with alone(settings):
        return _start(settings, kind, version, share, now=now, by=by)


def _start(
    settings: Settings, kind: RolloutKind, version: str | None, share: float, *, now: datetime, by: str
) -> Promotion:
    current = read_rollout(settings)
    if current is not None:
        raise InvalidInputError(
            f"one rollout may be under way at a time, got a {current.kind} of version {current.version}; run"
            " `nextbest rollout stop` first"
        )
    champion = find_champion(settings) if registry_is_made(settings) else None
    if champion is None:
        raise NoModelError("a rollout needs a champion beside it, got none; run `nextbest model promote`")
    catalogue = load_catalogue(settings.catalogue_path)
    with tracking(settings) as client:
        challenger = find_version(client, version)
        if challenger.version == champion.version:
            raise InvalidInputError(
                f"a challenger must be another version than the champion, got {champion.version}; train one"
            )
        check_promotable(fit_of(settings, catalogue, challenger))
        client.set_registered_model_alias(MODEL_NAME, ROLLOUT_ALIAS, challenger.version)
    entry = Promotion(
        action=kind.value,
        version=challenger.version,
        former=champion.version,
        at=now.isoformat(),
        by=by,
        reason="looks on" if kind is RolloutKind.SHADOW else f"decides for {share * 100:g}% of customers",
    )
    append(settings, entry)
    write_rollout(settings, Rollout(kind=kind, version=entry.version, share=share, began_at=now, by=by))
    return entry
