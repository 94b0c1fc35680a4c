"""What can be read and what was read: declared experiments beside stored readouts."""

from features.catalogue import load_catalogue
from features.reports.readouts import Readout, stored_readouts
from features.settings import Settings
from training.experiments.designs import readable_names

NOT_READ = "not read yet"
DAMAGED = "damaged"


def experiment_rows(settings: Settings) -> list[dict[str, str | None]]:
    """One row per declared experiment or stored readout: `name`, `kind`, `status`, `computed_at`, `verdict`.

    Raises:
        InvalidPolicyError: There is a catalogue and it is broken.
    """
    stored = stored_readouts(settings.readouts_path)
    rows = [_row(readout) for readout in stored.readouts]
    known = {readout.readout_id for readout in stored.readouts} | set(stored.damaged)
    is_declared = settings.catalogue_path.is_dir()
    declared = readable_names(load_catalogue(settings.catalogue_path)) if is_declared else ()
    unread = [name for name in declared if name not in known]
    return [
        *rows,
        *(_bare(name, NOT_READ, f"run: nextbest experiment read {name}") for name in unread),
        *(_bare(name, DAMAGED, f"run: nextbest experiment read {name}") for name in stored.damaged),
    ]


def _row(readout: Readout) -> dict[str, str | None]:
    return {
        "name": readout.readout_id,
        "kind": readout.kind.value,
        "status": readout.status.value,
        "computed_at": readout.computed_at.isoformat(timespec="seconds"),
        "verdict": readout.verdict,
    }


def _bare(name: str, status: str, verdict: str) -> dict[str, str | None]:
    return {"name": name, "kind": None, "status": status, "computed_at": None, "verdict": verdict}
