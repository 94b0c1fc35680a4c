"""`nextbest privacy`: data inventory and retention."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.options import HomeOption, JsonOption, print_json, say, settings_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from features.settings import Settings

app = typer.Typer(name="privacy", help="Data inventory and retention for all customers.", no_args_is_help=True)


@app.command("plan")
def plan(
    unused: Annotated[bool, typer.Option("--unused", help="Only data that nothing uses.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every column, attribute and event property that is collected, its purpose, and what uses it.

    Uses are detected: features by removing the data and checking which of them change, models by the champion's feature
    importance, rules and wordings by reading the catalogue. Consider not collecting what nothing uses.

    Examples:
    `nextbest privacy plan`;
    `nextbest privacy plan --unused`
    """
    from features.catalogue import load_catalogue
    from features.log.event_log import EventLog
    from features.privacy.data_plan import data_plan
    from features.privacy.purposes import data_rules
    from pipelines.reports.privacy_report import print_plan

    settings = settings_for(home)
    found = data_plan(
        EventLog(settings.log_path),
        load_catalogue(settings.catalogue_path),
        data_rules(settings.catalogue_path),
        importance=_importance(settings),
    )
    shown = [one for one in found if not (unused and one.is_used)]
    if as_json:
        print_json({"data": [asdict(one) | {"is_used": one.is_used} for one in shown]})
    else:
        print_plan(shown)


@app.command("retain")
def retain(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count without deleting.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete data older than the catalogue's `retention` allows, for good; run it once a day.

    Deleted decisions are recorded in the audit chain, which still verifies. Answers about consent, profiling and
    protection are kept, since a refusal does not expire.

    Examples:
    `nextbest privacy retain --dry-run`;
    `nextbest privacy retain`
    """
    from features.chain.audit_chain import open_log
    from features.clock import clock_of
    from features.privacy.audit_trail import Act, note_act
    from features.privacy.journal import one_at_a_time
    from features.privacy.purposes import data_rules
    from features.privacy.retention import retain as retain_data
    from pipelines.reports.privacy_report import print_retained

    settings = settings_for(home)
    now, rules = clock_of(settings)(), data_rules(settings.catalogue_path)
    with one_at_a_time(settings):
        found = retain_data(settings, open_log(settings), rules, now=now, is_dry_run=dry_run)
        if not dry_run:
            counts = {one.place: one.deleted for one in found if one.deleted}
            note_act(settings, Act.RETAINED, None, by="command line", now=now, details={"deleted": counts})
    if as_json:
        print_json({"is_dry_run": dry_run, "places": [asdict(one) for one in found]})
    else:
        print_retained(found, is_dry_run=dry_run)


def _importance(settings: "Settings") -> "Mapping[str, float] | None":
    """Gain of each column of the champion; None without one."""
    from decisioning.errors import ModelUnavailableError
    from features.models.bundle import read_bundle
    from features.models.registry import fetch_champion

    try:
        folder = fetch_champion(settings).folder
    except ModelUnavailableError:
        say("no champion, so what a model uses is unknown")
        return None
    import lightgbm

    bundle = read_bundle(folder)
    gains = lightgbm.Booster(model_str=bundle.booster).feature_importance(importance_type="gain").tolist()
    return dict(zip(bundle.layout.columns, gains, strict=True))
