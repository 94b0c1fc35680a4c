"""What every proof looks at: a sound catalogue, where its fields were written, and the moment."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import Creative
from decisioning.rules.fact_names import CONTEXT_PREFIX
from decisioning.rules.predicate import Predicate
from decisioning.rules.predicate_analysis import ProofVerdict, can_hold
from decisioning.rules.value_cells import Domain, ValueKind
from features.catalogue.checks.domains import domains_of
from features.catalogue.checks.findings import Finding, Proof, Severity
from features.catalogue.reading.documents import Location, dotted
from features.catalogue.reading.sections import Sections

_ABSENT = Domain(kind=ValueKind.WORD, words=())
"""A fact that is always missing."""


@dataclass(frozen=True, kw_only=True)
class ProofInputs:
    """A catalogue without mistakes.

    Attributes:
        sound: Section name to models.
        now: The moment that validity, limits and levers are looked at (aware, UTC).
    """

    sections: Sections
    sound: dict[str, Any]
    catalogue: Catalogue
    now: datetime

    @cached_property
    def domains(self) -> dict[str, Domain]:
        """What each fact can be."""
        return domains_of(self.catalogue)

    @cached_property
    def domains_at(self) -> dict[str, dict[str, Domain]]:
        """The same by touchpoint, which sends only the context that it declares."""
        return {
            name: {
                fact: _ABSENT
                if fact.startswith(CONTEXT_PREFIX) and fact.removeprefix(CONTEXT_PREFIX) not in touchpoint.context
                else domain
                for fact, domain in self.domains.items()
            }
            for name, touchpoint in self.catalogue.touchpoints.items()
        }

    def may_hold_at(self, rule: Predicate, touchpoint_id: str) -> bool:
        """Whether somebody can meet a rule at a touchpoint; True where that cannot be disproved. Proven once."""
        key = (rule, frozenset(self.catalogue.touchpoints[touchpoint_id].context))
        if key not in self._proven:
            self._proven[key] = can_hold(rule, self.domains_at[touchpoint_id]) is not ProofVerdict.NO
        return self._proven[key]

    @cached_property
    def _proven(self) -> dict[tuple[Predicate, frozenset[str]], bool]:
        return {}

    @cached_property
    def creatives(self) -> dict[str, list[Creative]]:
        """Creatives by offer."""
        by_offer: dict[str, list[Creative]] = {offer_id: [] for offer_id in self.catalogue.offers}
        for creative in self.catalogue.creatives:
            by_offer[creative.offer_id].append(creative)
        return by_offer

    def warning(self, at: Location, proof: Proof, found: str, advice: str = "") -> Finding:
        """A warning about a field."""
        file, line = self.sections.place_of(at)
        return Finding(
            severity=Severity.WARNING,
            proof=proof,
            file=file,
            line=line,
            field=dotted(at),
            found=found,
            advice=advice,
        )

    def creative_at(self, creative: Creative) -> Location:
        """Where a creative was written."""
        written = self.sound["offers"][creative.offer_id].creatives
        index = next(
            index
            for index, each in enumerate(written)
            if (each.channel, each.creative) == (creative.channel_id, creative.creative_id)
        )
        return ("offers", creative.offer_id, "creatives", index)
