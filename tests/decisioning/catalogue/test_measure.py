"""Measures: what they are made of, and where machines are at work."""

from decisioning.catalogue.channel import Channel
from decisioning.catalogue.measure import Measure, MeasurePart, Unit, mail_channels

REVENUE = Measure(measure_id="revenue", unit=Unit.MONEY, added_events=frozenset({"purchase"}))
CALLS = Measure(measure_id="calls", unit=Unit.MONEY, added_events=frozenset({"call_note"}))


def test_a_measure_without_parts_is_made_of_itself_once():
    assert REVENUE.plain == ((REVENUE, 1.0),)


def test_a_sum_is_made_of_its_parts_each_as_often_as_it_says():
    parts = (MeasurePart(measure=REVENUE, times=1.0), MeasurePart(measure=CALLS, times=-2.0))
    whole = Measure(measure_id="value", unit=Unit.MONEY, parts=parts)
    assert whole.plain == ((REVENUE, 1.0), (CALLS, -2.0))


def test_programs_scan_the_channels_whose_messages_have_a_subject():
    channels = {
        "email": Channel(channel_id="email", required_fields=frozenset({"subject"})),
        "letter": Channel(channel_id="letter", max_lengths={"subject": 60}),
        "push": Channel(channel_id="push", required_fields=frozenset({"title"})),
    }
    assert mail_channels(channels) == {"email", "letter"}
