"""Messages say what was wrong and what would be valid."""

from decisioning.errors import MOST_LISTED, UnknownNameError


def test_an_unknown_name_is_reported_with_the_nearest_ones() -> None:
    error = UnknownNameError("channel", "emial", ["sms", "email", "push"])
    assert str(error) == "channel must be a known name, got 'emial'; did you mean 'email'?"
    assert error.nearest == ("email",)


def test_without_a_near_name_a_short_list_is_given_and_a_long_one_is_not() -> None:
    assert str(UnknownNameError("table", "nope", ["outcomes", "events"])).endswith("; known are events, outcomes")
    many = [f"offer-{number}" for number in range(MOST_LISTED + 1)]
    assert str(UnknownNameError("offer", "nope", many)) == "offer must be a known name, got 'nope'"
    assert str(UnknownNameError("offer", "nope", [])) == "offer must be a known name, got 'nope'"
