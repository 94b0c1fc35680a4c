"""What can be proven about a catalogue before anything is sent, without customer data."""

from collections.abc import Callable, Iterator

from features.catalogue.checks.findings import Finding
from features.catalogue.proofs.contact_proof import prove_contact_policy, prove_quiet_hours
from features.catalogue.proofs.creative_proof import prove_creatives
from features.catalogue.proofs.ground import ProofInputs
from features.catalogue.proofs.offer_proof import prove_conversation, prove_offers
from features.catalogue.proofs.precedence_proof import prove_precedence
from features.catalogue.proofs.purpose_proof import prove_purposes
from features.catalogue.proofs.rule_proof import check_contradictions, prove_rules
from features.catalogue.proofs.stage_proof import prove_stages
from features.catalogue.proofs.supply_proof import prove_exploration, prove_levers, prove_limits, prove_shares

__all__ = ["ProofInputs", "check_contradictions", "prove"]

_PROOFS: tuple[Callable[[ProofInputs], Iterator[Finding]], ...] = (
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


def prove(ground: ProofInputs) -> tuple[Finding, ...]:
    """Every warning about a catalogue that has no mistakes."""
    return tuple(finding for proof in _PROOFS for finding in proof(ground))
