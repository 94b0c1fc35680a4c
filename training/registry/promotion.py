"""Promotion and rollback of models, with a record of every change and of every refusal.

A promotion moves the alias `champion`. Before that the candidate is fetched, checked and made to score every touchpoint
of the catalogue in force, and it must predict what the catalogue learns; nothing overrules this. A rollback asks for
the same but the last: it must work also after the catalogue was told to learn something else. Then the catalogue's
fairness guardrails are asked, and it is compared with the champion and with rules that need no model, on customers
whom neither learned from; that can be overruled with a reason, which is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InsufficientDataError, InvalidInputError, NoModelError, UnknownNameError
from decisioning.policy import Policy
from features.catalogue import load_catalogue
from features.models.bundle import load_value_model
from features.models.fit import ModelFit, check_promotable, fit_model
from features.models.registry import (
    CHAMPION_ALIAS,
    DIGEST_TAG,
    MODEL_NAME,
    Registered,
    copy_registered,
    fetch_champion,
    find_champion,
    registry_is_made,
)
from features.models.schema_archive import known_schemas
from features.settings import Settings
from training.fairness.gate import check_guardrails
from training.registry.promotion_gate import Contender, compare, metrics_of
from training.registry.promotion_ledger import (
    PROMOTED,
    REFUSED,
    ROLLED_BACK,
    Promotion,
    append,
    champion_before,
    read_ledger,
)
from training.registry.rollout_end import end_with_promotion
from training.registry.run_metrics import HELD_BACK
from training.registry.tracking import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """A registered version in a list; `metrics` are those of its run."""

    version: str
    is_champion: bool
    registered_at: str
    run_id: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


def list_models(settings: Settings) -> list[ModelRow]:
    """Every registered version, newest first; empty where nothing was trained yet.

    Raises:
        UnavailableError: The registry is away.
    """
    if not registry_is_made(settings):
        return []
    champion = find_champion(settings)
    with tracking(settings) as client:
        return [
            ModelRow(
                version=str(one.version),
                is_champion=champion is not None and champion.version == str(one.version),
                registered_at=_iso(one.creation_timestamp),
                run_id=one.run_id or "",
                tags=dict(one.tags),
                metrics=metrics_of(client, one.run_id),
            )
            for one in _versions(client)
        ]


def promote(
    settings: Settings, version: str | None = None, *, now: datetime, force_reason: str | None = None, by: str = ""
) -> Promotion:
    """Make a registered version the champion, if it is fit for that.

    Args:
        settings: Which registry, where local copies are, and the catalogue in force.
        version: Which; default the newest.
        now: For the ledger (aware, UTC).
        force_reason: Overrules the comparison with the champion; kept in the ledger.
        by: The account that asks.

    Returns:
        What was done; `has_changed` is False where the version was the champion already.

    Raises:
        NoModelError: Nothing is registered.
        ModelUnavailableError: The model's files are damaged.
        UnknownNameError: No such version.
        InvalidInputError: It does not fit the catalogue in force, is worse than the champion or than a rule
            without a model, or a fairness guardrail that blocks promotions is broken.
        InsufficientDataError: It cannot be compared with the champion, or nobody can tell whether a guardrail is kept.
        UnavailableError: The registry is away.
    """
    entry = weigh(settings, version, now=now, force_reason=force_reason, by=by)
    if entry.has_changed:
        enact(settings, entry)
    else:
        fetch_champion(settings)
        end_with_promotion(settings, entry.version, at=entry.at, by=by)
    return entry


def weigh(
    settings: Settings,
    version: str | None = None,
    *,
    now: datetime,
    force_reason: str | None = None,
    by: str = "",
    as_of: datetime | None = None,
) -> Promotion:
    """What `promote` would do, without doing it; a refusal is written to the ledger all the same.

    Arguments and errors are those of `promote`; beside them, `as_of` is the moment whose log the comparison looks at,
    in place of `now`.
    """
    if force_reason is not None and not force_reason.strip():
        raise InvalidInputError("a reason must be given to overrule the comparison, got none; pass --reason")
    if not registry_is_made(settings):
        raise NoModelError("registry must hold a model, got none; run `nextbest model train`")
    catalogue = load_catalogue(settings.catalogue_path)
    with tracking(settings) as client:
        candidate, champion, found = _find(client, version), find_champion(settings), dict[str, float]()
        entry = Promotion(
            action=PROMOTED,
            version=str(candidate.version),
            former=champion.version if champion else None,
            at=now.isoformat(),
            by=by,
            reason=force_reason or "the champion already",
            is_forced=force_reason is not None,
            has_changed=champion is None or champion.version != str(candidate.version),
            numbers=_judged(client, candidate),
        )
        try:
            fit = fit_of(settings, catalogue, _registered(client, candidate))
            check_promotable(fit)
            if entry.has_changed and not entry.is_forced:
                check_guardrails(settings, now=now)
                contender = Contender(registered=candidate, fit=fit, numbers=found)
                reason = compare(settings, catalogue, client, contender, champion, now=as_of or now)
                entry = replace(entry, reason=reason)
        except (InvalidInputError, InsufficientDataError) as error:
            append(settings, replace(entry, action=REFUSED, reason=str(error), numbers={**entry.numbers, **found}))
            raise
    return replace(entry, numbers={**entry.numbers, **found})


def enact(settings: Settings, entry: Promotion, *, is_again: bool = False) -> None:
    """Move the alias, write the ledger, and bring the local copy to its place; its own rollout ends with that.

    Args:
        settings: Which registry, and where local copies are.
        entry: From `weigh`.
        is_again: It may have been cut short before, so that the ledger may have the entry already.
    """
    with tracking(settings) as client:
        _move(settings, client, entry, is_again=is_again)


def rollback(settings: Settings, *, now: datetime, reason: str = "rolled back", by: str = "") -> Promotion:
    """Make the champion before this one the champion again; asked twice, it goes back two steps.

    Raises:
        InvalidInputError: No earlier champion is on record, or it does not fit the catalogue in force.
        NoModelError: There is no champion.
        ModelUnavailableError: The earlier one's files are damaged.
        UnavailableError: The registry is away.
    """
    champion = find_champion(settings) if registry_is_made(settings) else None
    if champion is None:
        raise NoModelError("registry must have a champion to go back from, got none; promote a version")
    version = champion_before(settings, champion.version)
    catalogue = load_catalogue(settings.catalogue_path)
    with tracking(settings) as client:
        fit_of(settings, catalogue, _registered(client, _find(client, version)))
        entry = Promotion(
            action=ROLLED_BACK, version=version, former=champion.version, at=now.isoformat(), by=by, reason=reason
        )
        _move(settings, client, entry)
    return entry


def fit_of(settings: Settings, catalogue: Catalogue, registered: Registered) -> ModelFit:
    """Fetch a version and let it score every touchpoint of a catalogue, as a server will.

    Raises:
        ModelUnavailableError: Its files are damaged, or cannot be reached.
        InvalidInputError: It does not fit the catalogue.
    """
    copy = copy_registered(settings, registered)
    model = load_value_model(copy.folder, version=copy.version)
    return fit_model(model, Policy(catalogue), known_schemas(settings))


def _move(settings: Settings, client: "MlflowClient", entry: Promotion, *, is_again: bool = False) -> None:
    client.set_registered_model_alias(MODEL_NAME, CHAMPION_ALIAS, entry.version)
    if not is_again or entry not in read_ledger(settings):
        append(settings, entry)
    fetch_champion(settings)
    end_with_promotion(settings, entry.version, at=entry.at, by=entry.by)


def _judged(client: "MlflowClient", version: "ModelVersion") -> dict[str, float]:
    """What held-back customers said of a version, by name."""
    metrics = metrics_of(client, version.run_id)
    return {name: value for name, value in metrics.items() if name.startswith(HELD_BACK)}


def _versions(client: "MlflowClient") -> list["ModelVersion"]:
    found = client.search_model_versions(f"name='{MODEL_NAME}'")
    return sorted(found, key=lambda one: -int(one.version))


def _find(client: "MlflowClient", version: str | None) -> "ModelVersion":
    known = {str(one.version): one for one in _versions(client)}
    if not known:
        raise NoModelError("registry must hold a model, got none; run `nextbest model train`")
    if version is None:
        return next(iter(known.values()))
    if version not in known:
        raise UnknownNameError("model version", version, known)
    return known[version]


def find_version(client: "MlflowClient", version: str | None) -> Registered:
    """A registered version, the newest where none is named.

    Raises:
        NoModelError: Nothing is registered.
        UnknownNameError: No such version.
    """
    return _registered(client, _find(client, version))


def _registered(client: "MlflowClient", version: "ModelVersion") -> Registered:
    return Registered(
        version=str(version.version),
        run_id=version.run_id or "",
        location=client.get_model_version_download_uri(MODEL_NAME, str(version.version)),
        digest=version.tags.get(DIGEST_TAG),
    )


def _iso(milliseconds: int | None) -> str:
    return datetime.fromtimestamp((milliseconds or 0) / 1000, UTC).isoformat(timespec="seconds")
