"""Types of outcomes that can be reported."""

from enum import StrEnum


class OutcomeType(StrEnum):
    """What can become of a decision."""

    DELIVERED = "delivered"
    VIEWED = "viewed"
    CLICKED = "clicked"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    CONVERTED = "converted"
    RETURNED = "returned"
    BOUNCED = "bounced"
    UNSUBSCRIBED = "unsubscribed"
    COMPLAINED = "complained"
    NOT_SENT = "not_sent"
    REFERRED = "referred"  # somebody came because of the customer; value: what that was worth
    REVIEWED = "reviewed"  # the customer wrote a review; value: what one is taken to be worth
    ANSWERED = "answered"  # the customer answered a question or a vote
