"""Customers: latent traits stay hidden, and profiles hold what is known."""

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import orjson
import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError
from features.log.contracts import CUSTOMERS
from features.online.profiles import customers_from_frame
from pipelines.simulation.world.population import REGIONS, ZONES, draw_population

AT = datetime(2026, 6, 1, 15, tzinfo=UTC)


def test_the_same_seed_draws_the_same_customers(airline: Catalogue) -> None:
    one, two, other = (draw_population(500, seed, airline) for seed in (1, 1, 2))
    assert one.customers(AT).equals(two.customers(AT))
    assert np.array_equal(one.affinity, two.affinity)
    assert not np.array_equal(one.affinity, other.affinity)


def test_canonical_rows_hold_nothing_latent(airline: Catalogue) -> None:
    rows = draw_population(300, 1, airline).customers(AT)
    assert dict(rows.schema) == CUSTOMERS.schema
    told = {name for text in rows["attributes"] for name in orjson.loads(text)}
    assert told == {"favourite_region", "home_airport", "status", "travels_with_children"}
    assert told <= {one.name for one in airline.customer_attributes}
    assert (rows["updated_at"] < AT).all()


def test_profiles_agree_with_the_rows(airline: Catalogue) -> None:
    people = draw_population(400, 1, airline)
    profiles = list(customers_from_frame(people.customers(AT)))
    for index in (0, 17, 399):
        profile = profiles[index]
        assert profile.customer_id == people.ids[index]
        assert profile.time_zone == ZONES[people.zone[index]][0]
        agreed = {one.channel_id for one in profile.consents if one.purpose == "marketing" and one.is_granted}
        assert agreed == {name for place, name in enumerate(people.channels) if people.agrees[index, place]}
        assert profile.has_opted_out_of_profiling == people.is_unprofiled[index]
        known = REGIONS[people.region[index]] if people.knows_region[index] else None
        assert profile.attributes.get("favourite_region") == known


def test_a_customer_with_an_unknown_zone_gives_no_other_hint(airline: Catalogue) -> None:
    """The catalogue's default zones then apply, where it is day when campaigns are decided."""
    people = draw_population(400, 1, airline)
    profiles = list(customers_from_frame(people.customers(AT)))
    unknown = [profiles[index] for index in np.flatnonzero(people.zone == len(ZONES) - 1)]
    assert len(unknown) > 10
    assert all(one.time_zone is None and one.plausible_zones == () for one in unknown)


def test_shares_are_as_declared(airline: Catalogue) -> None:
    people = draw_population(20_000, 5, airline)
    email = people.channels.index("email")
    assert people.is_reachable[:, email].mean() == pytest.approx(0.95, abs=0.01)
    assert people.agrees[:, email].mean() == pytest.approx(0.95 * 0.80, abs=0.015)
    assert people.is_unprofiled.mean() == pytest.approx(0.02, abs=0.005)
    assert not (people.agrees & ~people.is_reachable).any()
    for latent in (people.affinity, people.price_sensitivity, people.curiosity, people.sociability, people.patience):
        assert ((latent > 0) & (latent < 1)).all()


def test_status_is_a_noisy_signal_of_value(airline: Catalogue) -> None:
    people = draw_population(20_000, 5, airline)
    means = [people.trip_minor[people.status == status].mean() for status in range(3)]
    assert means == sorted(means)
    assert 3_000 < people.trip_minor.mean() < 15_000


def test_a_larger_population_starts_with_the_same_customers(airline: Catalogue) -> None:
    people = draw_population(50, 1, airline)
    few = people.first(20)
    assert few.size == 20
    assert few.customers(AT).equals(people.customers(AT).filter(people.customers(AT)["customer_id"] < people.ids[20]))


def test_an_empty_population_is_refused(airline: Catalogue) -> None:
    with pytest.raises(InvalidInputError, match="size must be at least 1, got 0"):
        draw_population(0, 1, airline)


def test_every_message_fits_each_customer_to_a_degree(make_world: Callable) -> None:
    effects = make_world(300).effects
    assert effects.fit.shape == (len(effects.messages), 300)
    assert ((effects.fit >= 0) & (effects.fit <= 1)).all()
    assert effects.fit.std(axis=1).min() > 0
