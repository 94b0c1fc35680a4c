"""Check the words of creatives: fields a channel needs, valid Liquid, known variables, lengths."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from decisioning.catalogue.creative_limits import BODY, FORMAT, creative_faults
from decisioning.errors import InvalidPolicyError
from decisioning.rules.predicate import FactValue
from features.catalogue.building.catalogue_parts import build_channel
from features.catalogue.forms.channel_form import ChannelFile
from features.catalogue.forms.offer_form import CreativeFile
from features.catalogue.reading.documents import Location
from features.catalogue.reading.names import Names
from features.catalogue.reading.problems import nearest_to, shown
from features.catalogue.reading.sections import Sections
from features.templates.renderer import OFFER_FIELDS, TEMPLATE_ROOTS, render_template, template_paths


def check_wording(sections: Sections, sound: dict[str, Any], names: Names) -> None:
    """Add a problem for everything that would keep a creative from being sent as it should."""
    for offer_id, offer in sound["offers"].items():
        known = {"id": offer_id, "kind": offer.kind, **offer.attributes}
        for index, creative in enumerate(offer.creatives):
            at = ("offers", offer_id, "creatives", index)
            for field in creative.requires:
                _check_path(sections, (*at, "requires"), tuple(field.split(".")), names)
            fixed = {
                field: _check_text(sections, (*at, "content", field), text, known, names)
                for field, text in creative.content.items()
            }
            channel = sound["channels"].get(creative.channel)
            if channel is not None:
                _check_fields(sections, at, creative, channel)
                _check_fit(sections, at, creative, channel, fixed)


def _check_fields(sections: Sections, at: Location, creative: CreativeFile, channel: ChannelFile) -> None:
    for field in channel.required_fields:
        if not creative.content.get(field, "").strip():
            near = nearest_to(field, creative.content)
            rule = f"must have the field {field!r}, which channel {creative.channel!r} requires"
            sections.add((*at, "content"), rule, shown(near[0] if near else None))


def _check_text(
    sections: Sections, at: Location, text: str, offer: Mapping[str, FactValue], names: Names
) -> str | None:
    """The words of a text that are there whatever the customer; None where it is no template that can be filled."""
    try:
        paths = template_paths(text)
        fixed = render_template(text, {"offer": offer}, missing_is_nothing=True)
    except InvalidPolicyError as error:
        rule, _, got = str(error).removeprefix("template ").rpartition(", got ")
        sections.add(at, rule, got)
        return None
    for path in paths:
        _check_path(sections, at, path, names)
    return fixed


def _check_fit(
    sections: Sections, at: Location, creative: CreativeFile, channel: ChannelFile, fixed: Mapping[str, str | None]
) -> None:
    """What the channel cannot carry, even with every merge field left empty."""
    words = {field: text for field, text in fixed.items() if text is not None}
    for field, limit in channel.max_lengths.items():
        length = len(words.get(field, ""))
        if length > limit:
            rule = f"must be at most {limit} characters, even before values are filled in"
            sections.add((*at, "content", field), rule, f"{length}")
    core = build_channel(creative.channel, channel, "")
    is_open = "{" in creative.content.get(FORMAT, "")  # a template: the gate looks at what it becomes
    rest = replace(
        core,
        max_lengths={},
        required_fields=frozenset(),
        allowed_formats=frozenset() if is_open else core.allowed_formats,
    )
    for fault in creative_faults(rest, words):
        field = FORMAT if fault.startswith(FORMAT) else BODY
        rule = f"must fit channel {creative.channel!r}, even before values are filled in"
        sections.add((*at, "content", field), rule, fault)


def _check_path(sections: Sections, at: Location, path: tuple[str, ...], names: Names) -> None:
    root = path[0]
    if root not in TEMPLATE_ROOTS:
        sections.add(at, "must use customer, context and offer only", shown(root), nearest_to(root, TEMPLATE_ROOTS))
        return
    known: Mapping[str, frozenset[str]] = {
        "context": frozenset(names.context),
        "offer": OFFER_FIELDS | names.offer_attributes,
    }
    if len(path) > 1 and root in known and path[1] not in known[root]:
        near = tuple(f"{root}.{name}" for name in nearest_to(path[1], known[root]))
        sections.add(at, f"must use a known field of {root}", shown(f"{root}.{path[1]}"), near)
