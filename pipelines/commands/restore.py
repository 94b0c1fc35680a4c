"""`nextbest restore`: fill Redis again from the log."""

from dataclasses import asdict

import typer

from pipelines.options import HomeOption, JsonOption, print_result, say, settings_for

app = typer.Typer()


@app.command("restore")
def restore(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Rebuild a lost or flushed Redis from the log: features, profiles, contacts, cases, counters, answers.

    If nothing was lost, it only adds contacts that were imported. A server may keep running meanwhile.

    Example: `nextbest restore`
    """
    from features.clock import clock_of
    from pipelines.server.embedded_redis import redis_for

    settings = settings_for(home)
    from pipelines.server.restore import (
        restore as restore_state,
    )  # takes seconds to import, so errors above are reported first

    with redis_for(settings) as redis_url:
        report = restore_state(
            settings, redis_url, now=clock_of(settings)(), on_step=lambda step: say(f"restoring {step} ...")
        )
    print_result(asdict(report), as_json=as_json, title="live state")
