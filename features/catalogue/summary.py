"""A catalogue in a few plain values, for people who want to see what it can send."""

from decisioning.catalogue import Catalogue


def summary_of(catalogue: Catalogue) -> dict[str, str | int]:
    """Version, counts, and the names of stages and touchpoints."""
    return {
        "version": catalogue.version,
        "currency": catalogue.currency,
        "goals": ", ".join(catalogue.goals),
        "stages": " > ".join(stage.stage_id for stage in catalogue.stages),
        "touchpoints": ", ".join(catalogue.touchpoints),
        "channels": ", ".join(catalogue.channels),
        "offers": len(catalogue.offers),
        "creatives": len(catalogue.creatives),
        "measures": ", ".join(catalogue.measures),
        "experiments": ", ".join(each.experiment_id for each in catalogue.experiments),
    }


def offer_rows(catalogue: Catalogue) -> list[dict[str, str | float]]:
    """One row per offer: what it is and how it can travel; values in minor units."""
    channels: dict[str, set[str]] = {}
    for creative in catalogue.creatives:
        channels.setdefault(creative.offer_id, set()).add(creative.channel_id)
    return [
        {
            "offer": offer.offer_id,
            "kind": offer.kind,
            "class": offer.message_class.value,
            "goal": offer.goal_id,
            "stages": ", ".join(sorted(offer.stages)) or "all",
            "channels": ", ".join(sorted(channels.get(offer.offer_id, set()))),
            "value_minor": offer.value_minor,
        }
        for offer in catalogue.offers.values()
    ]
