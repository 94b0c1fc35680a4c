"""What verifying the log found, for people and for other programs; and heads that were noted earlier."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from decisioning.errors import InvalidInputError
from features.chain.audit_chain import Head
from features.chain.chain_verification import FaultKind, Verification
from pipelines.options import print_result

FAULT_WORDS = {
    FaultKind.ALTERED_ROW: "a decision was altered after it was logged",
    FaultKind.MISSING_ROW: "a decision is gone, and nobody erased it",
    FaultKind.EXTRA_ROW: "a decision in the log was never chained",
    FaultKind.NOT_ERASED: "a decision is in the log although its erasure is chained",
    FaultKind.ALTERED_LINK: "an entry of the chain was altered",
    FaultKind.MISSING_LINK: "entries of the chain are gone",
    FaultKind.REORDERED_LINK: "an entry of the chain was moved",
    FaultKind.CUT_SHORT: "the chain does not reach the head that was noted",
}
_MOST_SHOWN = 50


def found_of(found: Verification) -> dict[str, Any]:
    """A verification as plain values; `heads` is what `noted_heads` reads."""
    return {
        "is_sound": not found.faults,
        "decisions": found.decisions,
        "entries": found.entries,
        "erased": found.erased,
        "imported": found.imported,
        "faults": [{"kind": fault.kind.value, "where": fault.where} for fault in found.faults],
        "heads": {str(chain): asdict(head) for chain, head in sorted(found.heads.items())},
    }


def note_heads(path: Path, found: Verification) -> None:
    """Write what `noted_heads` reads.

    Raises:
        InvalidInputError: The file cannot be written.
    """
    try:
        path.write_bytes(orjson.dumps(found_of(found), option=orjson.OPT_INDENT_2))
    except OSError as error:
        raise InvalidInputError(f"--note must be writable, got {error.strerror} for {path}") from error


def noted_heads(path: Path) -> dict[int, Head]:
    """Heads from what `note_heads` or `nextbest log verify --json` wrote.

    Raises:
        InvalidInputError: No such file, or another one.
    """
    try:
        noted = orjson.loads(path.read_bytes())["heads"]
        return {
            int(chain): Head(sequence=int(head["sequence"]), hash=str(head["hash"])) for chain, head in noted.items()
        }
    except OSError as error:
        raise InvalidInputError(f"--head must be readable, got {error.strerror} for {path}") from error
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidInputError(
            f"--head must be the JSON of an earlier `nextbest log verify --note`, got another file: {path}"
        ) from error


def print_verification(found: Verification) -> None:
    """Counts, then every fault in words with its place."""
    counts = {
        "decisions that match": found.decisions,
        "entries of the chains": found.entries,
        "erased": found.erased,
        "imported, in no chain": found.imported,
        "faults": len(found.faults),
    }
    print_result(
        counts, as_json=False, title="the log is what was written" if not found.faults else "the log was changed"
    )
    for fault in found.faults[:_MOST_SHOWN]:
        Console().print(f"{FAULT_WORDS[fault.kind]}: {fault.where}")
    if len(found.faults) > _MOST_SHOWN:
        Console().print(f"... and {len(found.faults) - _MOST_SHOWN} more")
