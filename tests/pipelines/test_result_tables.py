"""Results as tables for people: nothing that looks like Python."""

from pipelines.options import print_result


def test_numbers_by_name_stand_in_lines_of_their_own_and_nothing_is_no_row(capsys) -> None:
    print_result({"version": "2", "numbers": {"value": 541.4738261, "customers": 1539}, "facts": {}}, as_json=False)
    shown = capsys.readouterr().out
    assert "value: 541.474" in shown
    assert "customers: 1,539" in shown
    assert not set("{}'") & set(shown)
    assert "facts" not in shown
