"""How far back features that count look, in days: every window is a feature of its own for each thing counted."""

PURCHASE_WINDOWS = (7, 30, 90, 365)
ACTIVITY_WINDOWS = (7, 30)
SERVICE_WINDOWS = {
    "complaint": (30, 90),
    "service_ticket": (90,),
    "delivery": (90,),
    "return": (90,),
    "review": (90,),
}
"""By type of event."""
CONTACT_WINDOWS = (1, 7, 30, 90)
