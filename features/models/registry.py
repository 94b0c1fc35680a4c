"""The champion of the model registry as a local copy that was checked, so that deciding never waits for MLflow.

The registry is MLflow's: the alias `champion` of one registered model. With MLflow's own SQLite file, which is the
default, the alias is read straight from that file: importing MLflow takes seconds and hundreds of megabytes that a
server needs for nothing else. Any other tracking URI is asked through MLflow's client.
"""

import os
import shutil
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import uuid4

import orjson

from decisioning.errors import ModelUnavailableError, NoModelError, UnknownNameError
from features.durability import replace_file
from features.models.bundle import BOOSTER_FILE, MODEL_FILE, read_bundle
from features.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

MODEL_NAME = "nextbest-message-value"
CHAMPION_ALIAS = "champion"
DIGEST_TAG = "bundle_digest"
PROMOTIONS = "promotions.jsonl"
"""Beside the local copies: every change of champion; see `training.registry.promotion_ledger`."""

PROMOTED = "promote"
"""What the ledger calls a promotion; only after one has a champion been in force."""

BUNDLE_FOLDER = "extra_files"
"""Where a registered version keeps the bundle: the folder MLflow gives to files beside a model."""

_SQLITE = "sqlite:///"
_HOW = "run `nextbest model train` and `nextbest model promote`"
_QUERY = """
SELECT v.version, v.run_id, v.storage_location,
       (SELECT t.value FROM model_version_tags t
         WHERE t.workspace = v.workspace AND t.name = v.name AND t.version = v.version AND t.key = ?)
  FROM registered_model_aliases a
  JOIN model_versions v ON v.workspace = a.workspace AND v.name = a.name AND v.version = a.version
 WHERE a.workspace = 'default' AND a.name = ? AND a.alias = ?
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Champion:
    """The champion's local copy.

    Attributes:
        folder: Where `model_bundle.load_value_model` finds it.
        digest: The bundle's digest, which the copy was checked against.
    """

    version: str
    folder: Path
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A registered version as the registry describes it.

    Attributes:
        location: Where MLflow stored it: a path of this machine, or a URI.
        digest: What its bundle must be; None where the version was not registered by `training.registry.tracking`.
    """

    version: str
    run_id: str
    location: str
    digest: str | None


class RegistryAwayError(ModelUnavailableError):
    """The registry could not say which version is the champion."""


class NoChampionYetError(NoModelError):
    """No champion was ever in force in this home: nothing is missing, and cold start decides."""


def fetch_champion(settings: Settings, alias: str = CHAMPION_ALIAS) -> Champion:
    """The champion, or whatever holds another alias, as a local copy; cheap enough to ask every second.

    A registry that is away or was never made is no reason to stop: the copy that was last used is used again. A
    registry that answers that there is no champion is believed.

    Raises:
        NoChampionYetError: No champion was ever in force here, and the registry, where it was made, names none.
        ModelUnavailableError: There is no champion, or its files are damaged or cannot be reached.
    """
    has_had_one = _pointer(settings, CHAMPION_ALIAS).exists() or _was_promoted(settings)
    is_new = alias == CHAMPION_ALIAS and not has_had_one
    if is_new and not registry_is_made(settings):
        raise NoChampionYetError(f"model registry must have a champion, got none yet; {_HOW}")
    try:
        registered = find_champion(settings, alias)
    except RegistryAwayError as error:
        return _last_copy(settings, alias, error)
    if registered is None:
        how = _HOW if alias == CHAMPION_ALIAS else f"give a registered version the alias {alias}"
        kind = NoChampionYetError if is_new else ModelUnavailableError
        raise kind(f"model registry must have a {alias} of {MODEL_NAME}, got none; {how}")
    champion = copy_registered(settings, registered)
    _point_to(settings, alias, champion)
    return champion


def is_cold_start(settings: Settings) -> bool:
    """True where no champion was ever in force: declared values and exploration decide until one is."""
    try:
        fetch_champion(settings)
    except ModelUnavailableError as error:
        return isinstance(error, NoChampionYetError)
    return False


def _was_promoted(settings: Settings) -> bool:
    """Whether the ledger tells of a promotion; it may tell of refusals only."""
    ledger = settings.models_path / PROMOTIONS
    return ledger.exists() and f'"action":"{PROMOTED}"'.encode() in ledger.read_bytes()


def fetch_version(settings: Settings, version: str) -> Champion:
    """Any registered version as a checked local copy.

    Raises:
        UnknownNameError: No such version.
        NoModelError: Nothing is registered.
        ModelUnavailableError: The registry is away, or the version's files are damaged.
    """
    if not registry_is_made(settings):
        raise NoModelError(f"model registry must hold a model, got none; {_HOW}")
    with _asking(settings.tracking_uri) as client:
        known = {str(one.version): one for one in client.search_model_versions(f"name='{MODEL_NAME}'")}
        if version not in known:
            raise UnknownNameError("model version", version, known)
        registered = _registered(client, known[version])
    return copy_registered(settings, registered)


def registry_is_made(settings: Settings) -> bool:
    """False where the registry is an SQLite file that nothing was written to yet; looking at it would make it."""
    uri = settings.tracking_uri
    return not uri.startswith(_SQLITE) or Path(uri.removeprefix(_SQLITE)).is_file()


def find_champion(settings: Settings, alias: str = CHAMPION_ALIAS) -> Registered | None:
    """What the registry says of the alias `champion`, or of another one; None where nobody holds it.

    Raises:
        RegistryAwayError: The registry is away, or was never made.
    """
    uri = settings.tracking_uri
    if uri.startswith(_SQLITE):
        return _from_sqlite(Path(uri.removeprefix(_SQLITE)), alias)
    return _from_client(uri, alias)


def copy_registered(settings: Settings, registered: Registered) -> Champion:
    """Put a checked copy of a version below `settings.models_path`, unless it is there.

    Raises:
        ModelUnavailableError: Its files are damaged, are not what the registry says, or cannot be reached.
    """
    folder = settings.models_path / f"{registered.version}-{registered.run_id[:12]}"
    digest = _digest_of(folder)
    if digest is None or registered.digest not in {None, digest}:
        digest = _copy(settings, registered, folder)
    return Champion(version=registered.version, folder=folder, digest=digest)


def mlflow_client(uri: str) -> "MlflowClient":
    """MLflow's client, imported here and nowhere at import, silent and offline.

    It reports nothing to anybody and starts no installer; a server that is away is given up on within seconds.
    """
    quiet_mlflow()
    from mlflow import MlflowClient

    with warnings.catch_warnings():  # what MLflow's own libraries say to MLflow
        warnings.filterwarnings("ignore", message="The ``noload`` loader strategy is deprecated")
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def quiet_mlflow() -> None:
    """Switch off what MLflow does by itself; must be called before it is imported. What the user set stays."""
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "GIT_PYTHON_REFRESH": "quiet",
    }.items():
        os.environ.setdefault(name, value)  # noqa: TID251 - MLflow has no other place to be told


def _from_sqlite(path: Path, alias: str) -> Registered | None:
    if not path.is_file():
        raise RegistryAwayError(f"model registry must exist, got no file {path}; {_HOW}")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection:
            row = connection.execute(_QUERY, (DIGEST_TAG, MODEL_NAME, alias)).fetchone()
    except sqlite3.Error as error:
        raise RegistryAwayError(f"model registry must be readable, got {error} from {path}; {_HOW}") from error
    if row is None:
        return None
    version, run_id, location, digest = row
    return Registered(version=str(version), run_id=run_id or "", location=location or "", digest=digest)


def _from_client(uri: str, alias: str) -> Registered | None:
    try:
        with _asking(uri) as client:
            return _registered(client, client.get_model_version_by_alias(MODEL_NAME, alias))
    except RegistryAwayError as error:
        if getattr(error.__cause__, "error_code", "") in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise


@contextmanager
def _asking(uri: str) -> Iterator["MlflowClient"]:
    """MLflow's client, with its errors translated."""
    quiet_mlflow()
    from mlflow.exceptions import MlflowException

    try:
        yield mlflow_client(uri)
    except MlflowException as error:
        raise RegistryAwayError(f"model registry must answer, got {error.error_code} from {_shown(uri)}") from error


def _registered(client: "MlflowClient", found: "ModelVersion") -> Registered:
    location = client.get_model_version_download_uri(MODEL_NAME, found.version)
    digest = found.tags.get(DIGEST_TAG)
    return Registered(version=str(found.version), run_id=found.run_id or "", location=location, digest=digest)


def _shown(uri: str) -> str:
    """A URI without the password it may hold."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _copy(settings: Settings, registered: Registered, folder: Path) -> str:
    """Copy beside the place, check, and move there; gives the digest."""
    partial = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}.partial")
    try:
        partial.mkdir(parents=True)
        source = _files(settings, registered, partial)
        for name in (BOOSTER_FILE, MODEL_FILE):
            shutil.copyfile(source / name, partial / name)
        digest = read_bundle(partial).digest
        _check_digest(registered, digest)
        _put(partial, folder, digest)
    except OSError as error:
        raise ModelUnavailableError(
            f"files of model version {registered.version} must be readable and {settings.models_path} writable,"
            f" got {error.strerror} at {error.filename}; train again, or give access"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return digest


def _files(settings: Settings, registered: Registered, scratch: Path) -> Path:
    """The folder that holds the version's bundle: MLflow's own where it is on this machine, else a download."""
    local = Path(registered.location.removeprefix("file://"))
    if local.is_absolute():
        return local / BUNDLE_FOLDER
    quiet_mlflow()
    from mlflow import artifacts
    from mlflow.exceptions import MlflowException

    try:
        fetched = artifacts.download_artifacts(
            artifact_uri=f"models:/{MODEL_NAME}/{registered.version}",
            dst_path=str(scratch / "download"),
            tracking_uri=settings.tracking_uri,
            registry_uri=settings.tracking_uri,
        )
    except MlflowException as error:
        raise ModelUnavailableError(
            f"files of model version {registered.version} must be in the registry's store, got {error.error_code};"
            " check that the store can be reached"
        ) from error
    return Path(fetched) / BUNDLE_FOLDER


def _check_digest(registered: Registered, digest: str) -> None:
    if registered.digest not in {None, digest}:
        raise ModelUnavailableError(
            f"model version {registered.version} must be the one that was registered ({registered.digest}),"
            f" got {digest}; its files were replaced: train again, or run `nextbest model rollback`"
        )


def _put(partial: Path, folder: Path, digest: str) -> None:
    """Move a checked copy to its place; another process that did so first used the same files."""
    shutil.rmtree(partial / "download", ignore_errors=True)
    if folder.exists() and _digest_of(folder) != digest:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        partial.rename(folder)
    except OSError:
        if _digest_of(folder) != digest:
            raise


def _digest_of(folder: Path) -> str | None:
    """Digest of a copy that is whole; None where there is none."""
    try:
        stamps = tuple((folder / name).stat() for name in (BOOSTER_FILE, MODEL_FILE))
        return _checked(folder, tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in stamps))
    except (OSError, ModelUnavailableError):
        return None


@lru_cache(maxsize=8)
def _checked(folder: Path, stamps: tuple[tuple[int, int, int], ...]) -> str:  # noqa: ARG001 - stamps are the cache's key
    """Digest of a copy, computed once for files that stay as they are."""
    return read_bundle(folder).digest


def _pointer(settings: Settings, alias: str) -> Path:
    """File that names the copy last used under an alias."""
    return settings.models_path / f"{quote(alias, safe='')}.json"


def _point_to(settings: Settings, alias: str, champion: Champion) -> None:
    """Remember the copy for the day the registry is away."""
    pointer = _pointer(settings, alias)
    content = orjson.dumps({**asdict(champion), "folder": champion.folder.name})
    try:
        if pointer.is_file() and pointer.read_bytes() == content:
            return
        replace_file(pointer, content)
    except OSError as error:
        raise ModelUnavailableError(f"{pointer} must be writable, got {error.strerror}; give access") from error


def _last_copy(settings: Settings, alias: str, why: RegistryAwayError) -> Champion:
    """The copy that was used last, where it is still whole."""
    try:
        pointer = orjson.loads(_pointer(settings, alias).read_bytes())
        folder = settings.models_path / Path(pointer["folder"]).name
        champion = Champion(version=pointer["version"], folder=folder, digest=pointer["digest"])
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ModelUnavailableError(str(why)) from error
    if _digest_of(folder) != champion.digest:
        raise ModelUnavailableError(f"{why}; the last copy in {folder} is not whole either") from why
    return champion
