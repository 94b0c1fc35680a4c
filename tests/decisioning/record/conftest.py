"""A policy that uses everything a catalogue can declare."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import (
    Cap,
    ContactPolicy,
    Fatigue,
    Suppression,
    SuppressionScope,
)
from decisioning.catalogue.experiment import ProgrammeHoldout
from decisioning.catalogue.exploration import Exploration, ExplorationKind, Ramp
from decisioning.catalogue.levers import Lever, LeverScope
from decisioning.catalogue.limits import DepartmentShare, Limit, LimitScope
from decisioning.catalogue.message_classes import CapScope
from decisioning.catalogue.quiet_hours import QuietHours, QuietRule
from decisioning.policy import Policy
from decisioning.rules.predicate import Compare, Comparison
from tests.decisioning.record.everything import WEEK


@pytest.fixture(scope="module")
def full_policy(plain_catalogue: Catalogue, now: datetime) -> Policy:
    """Everything a catalogue can declare is there and affects the decision."""
    return Policy(
        replace(
            plain_catalogue,
            exploration=Exploration(
                kind=ExplorationKind.THOMPSON,
                min_probability=0.01,
                prior_deviation_minor=250.0,
                ramp=Ramp(needed=50, start_share=0.1),
            ),
            contact_policy=ContactPolicy(
                caps=(Cap(cap_id="mail", scope=CapScope.CHANNEL, of="email", limit=1, window_seconds=WEEK),),
                suppressions=(Suppression(after="declined", scope=SuppressionScope.OFFER, cooldown_seconds=WEEK),),
                look_ahead_seconds=WEEK,
                fatigue=Fatigue(cost_minor=3.0, half_life_seconds=WEEK),
            ),
            quiet_hours=QuietHours(rules=(QuietRule(channels=frozenset({"email"}), until_minute=15 * 60),)),
            limits=(Limit(limit_id="pushes", scope=LimitScope.CHANNEL, of="push", amount=100),),
            shares=(DepartmentShare(share_id="m", department="marketing", min_share=0.1),),
            levers=(
                Lever(
                    lever_id="l",
                    scope=LeverScope.OFFER,
                    of="ten-percent",
                    factor=1.25,
                    owner="o",
                    reason="r",
                    expires_at=now + timedelta(days=1),
                ),
                Lever(
                    lever_id="often",
                    scope=LeverScope.CHANNEL,
                    of="push",
                    factor=1.1,
                    owner="o",
                    reason="r",
                    expires_at=now + timedelta(days=1),
                    when=Compare(fact="purchase_count_90d", comparison=Comparison.AT_LEAST, value=3),
                ),
            ),
            programme_holdouts=(
                ProgrammeHoldout(programme_id="stamps", share=1.0, salt="s", offers=frozenset({"free-coffee"})),
            ),
        )
    )
