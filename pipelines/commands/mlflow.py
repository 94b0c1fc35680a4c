"""`nextbest mlflow`: MLflow's own page on the tracking store."""

from typing import Annotated

import typer

from pipelines.options import HomeOption, say, settings_for

app = typer.Typer(name="mlflow", help="MLflow's own page with runs and registered models.", no_args_is_help=True)


@app.callback()
def about() -> None:
    """Keep `ui` a verb of its own."""


@app.command("ui")
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the page.")] = 5000, home: HomeOption = None
) -> None:
    """Show every run, its metrics, plots and data, and the registered models; Ctrl-C stops it.

    The page listens on this machine only and has no password.

    Example: `nextbest mlflow ui --port 5001`
    """
    from pipelines.server.tracking_page import serve_tracking_page

    settings = settings_for(home)
    say(f"MLflow's page: http://127.0.0.1:{port} (Ctrl-C stops it)")
    serve_tracking_page(settings, port)
