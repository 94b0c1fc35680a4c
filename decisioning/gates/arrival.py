"""When a message that is handed over now reaches the customer: print runs, cut-offs and lead times."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from decisioning.catalogue.channel import Channel
from decisioning.local_time import moment_of


def run_at(channel: Channel, at: datetime) -> datetime:
    """The run that a hand-over at `at` goes with: itself up to the cut-off, the next day's run after it.

    Args:
        channel: Its cut-off counts in its own zone, also where that day is an hour shorter or longer.
        at: Moment of handing over (aware).

    Returns:
        `at` itself, or the cut-off of the next local day (aware, UTC).

    Example:
        >>> from datetime import UTC
        >>> printer = Channel(channel_id="letter", cut_off_minute=14 * 60, zone="Europe/Berlin")
        >>> run_at(printer, datetime(2026, 7, 1, 12, 1, tzinfo=UTC)).isoformat()
        '2026-07-02T12:00:00+00:00'
    """
    if channel.cut_off_minute is None:
        return at
    zone = ZoneInfo(channel.zone)
    local = at.astimezone(zone)
    if local.time() <= time(*divmod(channel.cut_off_minute, 60)):
        return at
    return moment_of(local.date() + timedelta(days=1), channel.cut_off_minute, zone)


def arrives_at(channel: Channel, at: datetime) -> datetime:
    """When a message handed over at `at` (aware) arrives: its run and then the channel's lead time.

    Example:
        >>> from datetime import UTC
        >>> arrives_at(Channel(channel_id="letter", lead_time_seconds=86_400), datetime(2026, 7, 1, tzinfo=UTC)).day
        2
    """
    if channel.cut_off_minute is None and not channel.lead_time_seconds:
        return at
    return run_at(channel, at) + timedelta(seconds=channel.lead_time_seconds)
