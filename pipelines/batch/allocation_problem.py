"""From decisions to a plan over everybody: what each customer may get, and what all of it may use together.

Two kinds of decision are settled before any plan: those where a class goes before others, and those of a random arm.
They, and decisions that a customer already has under the batch's key, use up what they use; the plan spreads the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from decisioning.arrays import FloatArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.limits import DepartmentShare, Limit, Supply, counter_name, price_name, total_counter_name
from decisioning.catalogue.message import SILENCE, Message
from decisioning.errors import InvalidInputError, UnknownNameError
from decisioning.gates.capacity import uses
from pipelines.batch.allocation import NOBODY, AllocationChoices, Constraint, Plan
from pipelines.batch.customer_options import CustomerOptions, Volume
from serving.watch.pacing import value_of


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationProblem:
    """Everything that a plan is made from.

    Attributes:
        keys: k message keys, by the places that choices and plans use.
        priced: Names of constraints whose prices decisions can pay.
    """

    choices: AllocationChoices
    constraints: tuple[Constraint, ...]
    keys: tuple[str, ...]
    priced: frozenset[str]

    def allocated(self, plan: Plan) -> list[str]:
        """What each customer gets: a message key, or silence."""
        return [SILENCE if place == NOBODY else self.keys[place] for place in plan.chosen.tolist()]

    def prices(self, plan: Plan) -> dict[str, float]:
        """The prices that a decision pays for limits and shares, as `Supply.prices_minor` has them."""
        return {name: price for name, price in plan.prices_minor.items() if name in self.priced}


def problem_of(
    catalogue: Catalogue,
    messages: Sequence[Message],
    options: Sequence[CustomerOptions],
    supply: Supply,
    now: datetime,
    volumes: Sequence[Volume] = (),
) -> AllocationProblem:
    """Put choices and constraints together: k messages in the order of their keys, n customers, decided `now` (aware).

    Raises:
        UnknownNameError: A volume for an offer that the catalogue does not have.
        InvalidInputError: A volume for an offer that the touchpoint cannot send, or one above its own maximum.
    """
    table = _Table(catalogue, messages, now)
    settled = np.zeros(len(messages))
    for one in options:
        if one.settled is not None:
            settled[table.places[one.settled]] += 1
    bounds = [
        *(bound for limit in catalogue.limits for bound in _limit_bounds(table, limit, supply, settled)),
        *(bound for share in catalogue.shares for bound in _share_bounds(table, share, supply, settled)),
    ]
    stored = [one.stored_offer for one in options if one.stored_offer is not None]
    volume_bounds = [_volume_bound(table, volume, settled, stored) for volume in volumes]
    return AllocationProblem(
        choices=_choices(options, table.places),
        constraints=(*bounds, *volume_bounds),
        keys=tuple(table.places),
        priced=frozenset(one.name for one in bounds),
    )


class _Table:
    """The messages of a touchpoint with what each uses."""

    def __init__(self, catalogue: Catalogue, messages: Sequence[Message], now: datetime) -> None:
        self.catalogue = catalogue
        self.messages = messages
        self.places = {message.key: place for place, message in enumerate(messages)}
        self.now = now
        self.touches = [catalogue.touch(one.parts) for one in messages]


def _choices(options: Sequence[CustomerOptions], places: Mapping[str, int]) -> AllocationChoices:
    pairs = [(customer, places[key], net) for customer, one in enumerate(options) for key, net in one.net_minor.items()]
    customers, messages, net = zip(*pairs, strict=True) if pairs else ((), (), ())
    return AllocationChoices(
        customer_count=len(options),
        customers=np.array(customers, dtype=np.int64),
        messages=np.array(messages, dtype=np.int64),
        net_minor=np.array(net, dtype=np.float64),
    )


def _limit_bounds(table: _Table, limit: Limit, supply: Supply, settled: FloatArray) -> list[Constraint]:
    """A bound per counter that messages of the touchpoint use of a limit."""
    alone = replace(table.catalogue, limits=(limit,), shares=())
    units: dict[str, FloatArray] = {}
    names: dict[str, str] = {}
    for place, (message, touch) in enumerate(zip(table.messages, table.touches, strict=True)):
        for counter, amount in uses(alone, touch, message.channel.cost_minor, table.now).items():
            units.setdefault(counter, np.zeros(len(table.messages)))[place] = amount
            names[counter] = price_name(limit, value_of(limit, touch))
    return [
        Constraint(
            name=names[counter],
            units=each,
            most=max(0.0, limit.amount - supply.used.get(counter, 0.0) - float(each @ settled)),
        )
        for counter, each in units.items()
    ]


def _share_bounds(table: _Table, share: DepartmentShare, supply: Supply, settled: FloatArray) -> list[Constraint]:
    """Bounds on a department's part in all messages of the period, those sent before included."""
    own = np.array([touch.department == share.department for touch in table.touches], dtype=np.float64)
    sent = supply.used.get(counter_name(share, table.now), 0.0) + float(own @ settled)
    total = supply.used.get(total_counter_name(share, table.now), 0.0) + float(settled.sum())
    bounds: list[Constraint] = []
    if share.min_share > 0:
        told = f"at least {share.min_share:.0%} of all messages from {share.department}"
        least, units = share.min_share * total - sent, own - share.min_share
        bounds.append(Constraint(name=share.share_id, units=units, least=least, told=told, is_soft=True))
    if share.max_share < 1:
        most = max(0.0, share.max_share * total - sent + share.slack)
        bounds.append(Constraint(name=share.share_id, units=own - share.max_share, most=most))
    return bounds


def _volume_bound(table: _Table, volume: Volume, settled: FloatArray, stored: Sequence[str]) -> Constraint:
    offer_id = volume.offer_id
    if offer_id not in table.catalogue.offers:
        raise UnknownNameError("offer", offer_id, table.catalogue.offers)
    own = np.array([touch.offer_id == offer_id for touch in table.touches], dtype=np.float64)
    if not own.any():
        raise InvalidInputError(f"volume must be of an offer that the touchpoint can send, got {offer_id!r}")
    sent = float(own @ settled) + stored.count(offer_id)
    return Constraint(
        name=f"volume of {offer_id}",
        units=own,
        least=None if volume.least is None else max(0.0, volume.least - sent),
        most=None if volume.most is None else max(0.0, volume.most - sent),
        told=f"at least {volume.least:,} of {offer_id}" if volume.least is not None else "",
    )
