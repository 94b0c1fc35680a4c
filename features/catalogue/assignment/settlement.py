"""Continue the assignment ledger wherever a catalogue comes into force."""

from datetime import datetime
from pathlib import Path

from decisioning.errors import InvalidInputError
from features.catalogue.assignment.ledger import Ledger, read_ledger, settled, write_ledger
from features.catalogue.loader import load_catalogue


def settle(folder: Path, now: datetime) -> None:
    """Write down what a catalogue that is in force begins, where its files were changed in place.

    Raises:
        InvalidInputError: The catalogue or its ledger is broken.
        OSError: The ledger could not be written.
    """
    former = read_ledger(folder)
    ledger = settled(load_catalogue(folder), former, now)
    if ledger != former:
        write_ledger(folder, ledger)


def ledger_in_force(folder: Path, now: datetime) -> Ledger | None:
    """The ledger of the catalogue in force, up to now; None where none is in force.

    Raises:
        InvalidPolicyError: The ledger is damaged.
    """
    former = read_ledger(folder)
    try:
        return settled(load_catalogue(folder), former, now)
    except InvalidInputError:  # no catalogue, or a broken one
        return former


def continue_ledger(incoming: Path, former: Ledger | None, now: datetime) -> None:
    """Give a catalogue that is about to come into force the ledger of the one before it.

    A ledger that lies in the incoming folder counts where nothing (`former`) was in force before.

    Raises:
        InvalidPolicyError: The ledger is damaged.
    """
    if former is not None:
        write_ledger(incoming, former)
    settle(incoming, now)
