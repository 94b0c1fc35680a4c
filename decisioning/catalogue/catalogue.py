"""Everything that marketers declare, checked and frozen, with the hash of its content as its version."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from decisioning.catalogue.care import CarePolicy
from decisioning.catalogue.channel import Channel
from decisioning.catalogue.contact_policy import ContactPolicy, Touch
from decisioning.catalogue.conversation import Conversation
from decisioning.catalogue.experiment import Experiment, Holdout, ProgrammeHoldout
from decisioning.catalogue.exploration import Exploration
from decisioning.catalogue.journey import Goal, JourneyStage, Touchpoint
from decisioning.catalogue.levers import ArbitrationSwitches, Lever
from decisioning.catalogue.limits import DepartmentShare, Limit
from decisioning.catalogue.listening import Listening
from decisioning.catalogue.measure import Engagement, Measure
from decisioning.catalogue.message import Creative, MessageClass, MessageParts, Offer
from decisioning.catalogue.message_classes import DEFAULT_CLASSES, ClassRules
from decisioning.catalogue.quiet_hours import QuietHours
from decisioning.errors import UnknownNameError


class AttributeKind(StrEnum):
    """Type of a customer or offer attribute."""

    NUMBER = "number"
    CATEGORY = "category"
    FLAG = "flag"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """A declared attribute; `values` lists a category's words in order, which is also their code for the model."""

    name: str
    kind: AttributeKind
    values: tuple[str, ...] = ()


class LearningMethod(StrEnum):
    """How effects are separated from noise.

    `windows` compares what decisions brought in their whole windows, and requires that every message was possible for
    everybody. `steps` is for customers who get many decisions under rules: it compares their states at the next
    decision with those of similar customers who got silence. `auto` leaves it to the log: where rules kept messages
    from many customers, it is `steps`.
    """

    AUTO = "auto"
    WINDOWS = "windows"
    STEPS = "steps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """What the model learns: which measure, over which window after a decision.

    Learn money where there is any. Where a rate is learned, arbitration prices it with each offer's declared value.

    Attributes:
        method: How effects are told from noise.
        change_cost: What putting another model in force costs, per decision, in the measure's unit (money in minor
            units); not negative.
        in_minutes: Outcomes since training move prices within minutes, see `decisioning.residuals`.
        horizon_days: How far ahead credit over time looks; 0 for not at all.
        stage_credit: What messages change beyond the window, by where they leave customers, counts in decisions.
    """

    measure_id: str
    window_days: float = 7.0
    method: LearningMethod = LearningMethod.AUTO
    change_cost: float = 0.0
    in_minutes: bool = True
    horizon_days: float = 90.0
    stage_credit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Goals, stages, touchpoints, channels, offers, creatives, measures, experiments.

    Attributes:
        version: Hash of the content; two catalogues with one version decide alike.
        currency: ISO 4217 code of every `_minor` amount.
        offer_kinds: Kinds of offer in order, which is also their code for the model.
        event_types: Event types that features and measures may name.
        stages: In journey order.
        conversation: How messages carry on from what was seen; None where each stands alone.
    """

    version: str
    currency: str
    goals: Mapping[str, Goal]
    stages: tuple[JourneyStage, ...]
    touchpoints: Mapping[str, Touchpoint]
    channels: Mapping[str, Channel]
    offers: Mapping[str, Offer]
    creatives: tuple[Creative, ...]
    offer_kinds: tuple[str, ...]
    event_types: tuple[str, ...]
    customer_attributes: tuple[Attribute, ...] = ()
    offer_attributes: tuple[Attribute, ...] = ()
    measures: Mapping[str, Measure] = field(default_factory=dict[str, Measure])
    learning: Learning | None = None
    exploration: Exploration = field(default_factory=Exploration)
    experiments: tuple[Experiment, ...] = ()
    holdout: Holdout | None = None
    programme_holdouts: tuple[ProgrammeHoldout, ...] = ()
    classes: Mapping[MessageClass, ClassRules] = field(default_factory=lambda: dict(DEFAULT_CLASSES))
    contact_policy: ContactPolicy = field(default_factory=ContactPolicy)
    quiet_hours: QuietHours = field(default_factory=QuietHours)
    care: CarePolicy = field(default_factory=CarePolicy)
    limits: tuple[Limit, ...] = ()
    shares: tuple[DepartmentShare, ...] = ()
    levers: tuple[Lever, ...] = ()
    switches: ArbitrationSwitches = field(default_factory=ArbitrationSwitches)
    listening: Listening = field(default_factory=Listening)
    conversation: Conversation | None = None
    engagement: Engagement = field(default_factory=Engagement)

    def touch(self, message: MessageParts) -> Touch:
        """What the contact policy looks at in a message of a declared offer.

        Raises:
            UnknownNameError: An offer that the catalogue does not have.
        """
        offer = self.offers.get(message.offer_id)
        if offer is None:
            raise UnknownNameError("offer", message.offer_id, self.offers)
        return Touch(
            message_class=offer.message_class,
            department=self.goals[offer.goal_id].department,
            goal_id=offer.goal_id,
            channel_id=message.channel_id,
            offer_id=message.offer_id,
            creative_id=message.creative_id,
        )

    @property
    def customer_words(self) -> Mapping[str, tuple[str, ...]]:
        """The words that customer attributes may have which are categories, by name."""
        return {one.name: one.values for one in self.customer_attributes if one.kind is AttributeKind.CATEGORY}
