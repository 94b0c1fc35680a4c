"""Settings of one process: built once at an edge, then passed as an argument."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

NOT_IN_PATHS = re.compile(r"[\[\]^|\\?]|%[0-9A-Fa-f]{2}")
"""What no folder of state may have in its name: Delta and SQLite read paths as addresses."""


class _Below:
    """A path below `home`."""

    def __init__(self, name: str, meaning: str) -> None:
        self.name, self.__doc__ = name, meaning

    def __get__(self, settings: "Settings", owner: type["Settings"]) -> Path:
        return settings.home / self.name


class Settings(BaseSettings):
    """Where state lives and how a server behaves; every field can be set as `NEXTBEST_<NAME>`.

    Paths below `home` are derived, so that one folder holds everything but MLflow's.
    """

    model_config = SettingsConfigDict(env_prefix="NEXTBEST_", frozen=True, extra="forbid", ignored_types=(_Below,))

    home: Path = Field(default=Path(".nextbest"), description="Folder of all state")
    mlruns: Path = Field(default=Path("mlruns"), description="MLflow's local home")
    mlflow_tracking_uri: str | None = Field(default=None, description="Another MLflow server; default sqlite in mlruns")
    redis_url: str | None = Field(default=None, description="Another Redis; default an embedded one below home")
    redis_fsync: Literal["always", "everysec"] = Field(
        default="always",
        description="When the embedded Redis flushes to disk; everysec may lose a second in a power cut",
    )
    host: str = Field(default="127.0.0.1", description="Address the server listens on")
    port: int = Field(default=8000, ge=0, le=65535, description="Port the server listens on")
    workers: int = Field(default=1, ge=1, le=256, description="Server processes")
    deadline_ms: int = Field(default=150, ge=1, le=60_000, description="Answer within this, degraded if need be")
    policy_seed: str = Field(default="nextbest", description="Seed of the draws; change it to reshuffle exploration")
    decision_ttl_days: float = Field(default=7.0, gt=0, description="How long permits and outcomes find a decision")
    rehearsal_clock: Path | None = Field(
        default=None, description="File whose moment is taken for now; for rehearsals and demos, never in production"
    )
    audit_key: SecretStr | None = Field(
        default=None, description="Key of the audit chain, any secret text; default one made below home"
    )

    @field_validator("home", "mlruns")
    @classmethod
    def _is_no_address(cls, folder: Path) -> Path:
        if found := NOT_IN_PATHS.search(str(folder.resolve())):
            raise ValueError(
                f"must lie in folders without [ ] ^ | \\ ? or a percent code, got {found[0]}; move or rename them"
            )
        return folder

    catalogue_path = _Below("catalogue", "Folder of the catalogue in force")
    catalogues_path = _Below("catalogues", "Folder of every catalogue ever in force, by version, for replay")
    log_path = _Below("log", "Folder of the Delta tables")
    rejects_path = _Below("rejects", "Folder of rows that an import refused")
    features_path = _Below("features", "Folder of the feature history (Parquet) and Feast's registry")
    models_path = _Below("models", "Folder of the server's hash-checked copies of models")
    readouts_path = _Below("readouts", "Folder of stored experiment readouts (JSON)")
    kpis_path = _Below("kpis", "Folder of stored KPIs (JSON)")
    fairness_path = _Below("fairness", "Folder of stored fairness reports (JSON)")
    drift_path = _Below("drift", "Folder of stored drift reports (JSON)")
    redis_path = _Below("redis", "Folder of the embedded Redis")
    spool_path = _Below("spool", "Folder of decisions that Redis could not take; the drain moves them into the log")
    handoffs_path = _Below("handoffs", "Folder of the books of what was handed over for offline channels")
    keys_path = _Below("keys.json", "File of hashed API keys")
    audit_key_path = _Below("audit.key", "File of the audit chain's key, for the owner's eyes only")

    @property
    def tracking_uri(self) -> str:
        """MLflow tracking URI in force."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.mlruns.resolve() / 'mlflow.db'}"
