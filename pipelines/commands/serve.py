"""`nextbest serve`: the API and the console, with everything they need."""

from typing import Annotated

import orjson
import typer

from pipelines.options import HomeOption, JsonOption, say, settings_for

app = typer.Typer()


@app.command("serve")
def serve_command(
    host: Annotated[str | None, typer.Option(help="Address to listen on (NEXTBEST_HOST; default 127.0.0.1).")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Port; 0 takes any free one (NEXTBEST_PORT; 8000).")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=256, help="Server processes (NEXTBEST_WORKERS; 1).")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve decisions over HTTP until Ctrl-C, and drain the log; Redis is started unless NEXTBEST_REDIS_URL is set.

    Example: `nextbest serve --port 8000`
    """
    from pipelines.server.supervisor import serve

    settings = settings_for(home, host=host, port=port, workers=workers)
    try:
        serve(settings, on_ready=_print_json if as_json else _print)
    except KeyboardInterrupt:
        say("stopped")


def _print(url: str) -> None:
    typer.echo(f"Nextbest answers at {url}  (API page {url}/docs, console {url}/console); Ctrl-C stops it")


def _print_json(url: str) -> None:
    typer.echo(orjson.dumps({"url": url, "docs": f"{url}/docs", "console": f"{url}/console"}).decode())
