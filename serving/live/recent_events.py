"""How many events of each type recent behaviour keeps: enough that every comparison a rule makes comes out exact."""

import math
import re
from collections.abc import Iterator, Mapping

from decisioning.catalogue.catalogue import Catalogue
from decisioning.rules.fact_names import LIVE_PREFIX
from decisioning.rules.predicate import Predicate
from decisioning.rules.predicate_analysis import comparisons_of
from serving.live.scripts import MOST_EVENTS

MOST_COUNTED = 10_000
"""No count of one type goes further, whatever a rule asks."""

_COUNT = re.compile(rf"{re.escape(LIVE_PREFIX)}(?P<type>.+)_count_(1h|24h)")


def events_kept(catalogue: Catalogue) -> Mapping[str, int]:
    """The newest events to keep of each type that rules count further than `MOST_EVENTS`.

    A count stops at what is kept, and that is more than anything it is compared with; so no comparison can tell.
    """
    most: dict[str, int] = {}
    for rule in _rules(catalogue):
        for compare in comparisons_of(rule):
            counted = _COUNT.fullmatch(compare.fact)
            if counted is None:
                continue
            values = compare.value if isinstance(compare.value, tuple) else (compare.value,)
            asked = max((math.ceil(one) + 1 for one in values if isinstance(one, int | float)), default=0)
            if asked > most.get(counted["type"], MOST_EVENTS):
                most[counted["type"]] = min(asked, MOST_COUNTED)
    return most


def _rules(catalogue: Catalogue) -> Iterator[Predicate]:
    for one in (*catalogue.offers.values(), *catalogue.creatives):
        yield from (one.eligibility, one.applicability, one.suitability)
    yield from (stage.entry for stage in catalogue.stages)
    yield from (lever.when for lever in catalogue.levers)
