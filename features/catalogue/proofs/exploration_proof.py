"""Whether the declared minimum probabilities fit the number of messages."""

from collections.abc import Iterator

from decisioning.gates.candidate import compile_candidates
from features.catalogue.checks.findings import Finding, Proof
from features.catalogue.proofs.ground import ProofInputs


def prove_exploration(ground: ProofInputs) -> Iterator[Finding]:
    """A warning where a floor for every message would take more of the decisions than exploration may."""
    exploration, catalogue = ground.catalogue.exploration, ground.catalogue
    floor, share = exploration.min_probability, exploration.floor_share
    counts = {
        name: len(compile_candidates(catalogue, touchpoint)) for name, touchpoint in catalogue.touchpoints.items()
    }
    name = max(counts, key=lambda each: counts[each], default="")
    if not floor or counts.get(name, 0) * floor <= share:
        return
    messages = counts[name]
    found = (
        f"would take {min(messages * floor, 1.0):.0%} of the decisions at {name}, where {messages} messages may be"
        f" permitted together; exploration takes {share:.0%} at most, so each gets {share / messages:.2g} then"
    )
    advice = f"lower it to {share / messages:.2g}, raise epsilon, or leave it: fewer permitted messages get the floor"
    yield ground.warning(("exploration", "min_probability"), Proof.FLOOR_OUT_OF_REACH, found, advice)
