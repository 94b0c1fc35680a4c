"""MLflow's own page on the tracking store, on this machine only."""

import os
import socket
import sys
from typing import NoReturn

from decisioning.errors import InvalidInputError
from features.models.registry import quiet_mlflow, registry_is_made
from features.settings import Settings

_ADDRESS = "127.0.0.1"


def serve_tracking_page(settings: Settings, port: int) -> NoReturn:
    """Become MLflow's server until it is stopped.

    Raises:
        InvalidInputError: There is nothing to show yet, or the port is taken.
    """
    check_page(settings, port)
    quiet_mlflow()
    arguments = [sys.executable, "-m", "mlflow", "server", "--host", _ADDRESS, "--port", str(port), "--workers", "1"]
    arguments += ["--backend-store-uri", settings.tracking_uri, "--no-serve-artifacts"]
    arguments += ["--default-artifact-root", str(settings.mlruns.resolve() / "artifacts")]
    # One process fewer to stop: this one turns into the server, which then gets every signal itself.
    os.execve(sys.executable, arguments, {**_environment(), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"})  # noqa: S606


def check_page(settings: Settings, port: int) -> None:
    """Refuse what MLflow would answer with an empty page or a traceback.

    Raises:
        InvalidInputError: There is nothing to show yet, or the port is taken.
    """
    if not registry_is_made(settings):
        raise InvalidInputError(
            f"MLflow's page must have something to show, got no {settings.tracking_uri}; run `nextbest model train`"
        )
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_ADDRESS, port))
        except OSError as error:
            raise InvalidInputError(f"--port must be free, got {port}, which is taken; name another") from error


def _environment() -> dict[str, str]:
    return dict(os.environ)  # noqa: TID251 - the server inherits what this process was given
