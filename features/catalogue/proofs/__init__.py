"""What can be proven of a catalogue without anybody's data, and before anything is sent."""

from collections.abc import Callable, Iterator

from features.catalogue.findings import Finding
from features.catalogue.proofs.contact import prove_contact_policy, prove_quiet_hours
from features.catalogue.proofs.conversation import prove_conversation
from features.catalogue.proofs.creatives import prove_creatives
from features.catalogue.proofs.exploration import prove_exploration
from features.catalogue.proofs.ground import Ground
from features.catalogue.proofs.offers import prove_offers
from features.catalogue.proofs.precedence import prove_precedence
from features.catalogue.proofs.purposes import prove_purposes
from features.catalogue.proofs.rules import check_contradictions, prove_rules
from features.catalogue.proofs.stages import prove_stages
from features.catalogue.proofs.supply import prove_levers, prove_limits, prove_shares

__all__ = ["Ground", "check_contradictions", "prove"]

_PROOFS: tuple[Callable[[Ground], Iterator[Finding]], ...] = (
    prove_rules,
    prove_stages,
    prove_offers,
    prove_purposes,
    prove_conversation,
    prove_precedence,
    prove_contact_policy,
    prove_quiet_hours,
    prove_creatives,
    prove_limits,
    prove_shares,
    prove_levers,
    prove_exploration,
)


def prove(ground: Ground) -> tuple[Finding, ...]:
    """Every warning about a catalogue that has no mistakes."""
    return tuple(finding for proof in _PROOFS for finding in proof(ground))
