"""What channels can carry: SMS segments as defined by GSM 03.38, and the limits that channels declare."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.channel import Channel
from decisioning.catalogue.creative_limits import GSM_BASIC, GSM_EXTENSION, creative_faults, is_gsm, sms_segments

# 3GPP TS 23.038 version 17, section 6.2.1: the default alphabet by code, row 0x00 to row 0x70, 0x1B being the escape.
DEFAULT_ALPHABET = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)
# Section 6.2.1.1: the extension table by code.
EXTENSION_TABLE = {
    0x0A: "\f", 0x14: "^", 0x28: "{", 0x29: "}", 0x2F: "\\", 0x3C: "[", 0x3D: "~", 0x3E: "]", 0x40: "|", 0x65: "€"
}  # fmt: skip


def test_the_alphabet_is_that_of_the_standard() -> None:
    assert len(DEFAULT_ALPHABET) == 128
    assert frozenset(DEFAULT_ALPHABET) - {"\x1b"} == GSM_BASIC
    assert frozenset(EXTENSION_TABLE.values()) == GSM_EXTENSION


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", 1),
        ("a", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("a" * 459, 3),
        ("a" * 460, 4),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 158 + "€", 1),
        ("a" * 159 + "€", 2),
        ("Ä" * 160, 1),
        ("ç" * 70, 1),  # the standard has the capital letter only
        ("ç" * 71, 2),
        ("a" * 69 + "“", 1),
        ("a" * 70 + "“", 2),
        ("あ" * 134, 2),
        ("あ" * 135, 3),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
    ],
)
def test_segments_are_counted_as_the_standard_says(text: str, segments: int) -> None:
    assert sms_segments(text) == segments


def test_an_escaped_character_is_not_split_across_parts() -> None:
    filled = "a" * 152 + "€"  # the escape would be septet 153, its character the first of the next part
    assert sms_segments(filled + "a" * 151) == 2
    assert sms_segments(filled + "a" * 152) == 3


def test_a_surrogate_pair_is_not_split_across_parts() -> None:
    filled = "あ" * 66 + "😀"
    assert sms_segments(filled + "あ" * 65) == 2
    assert sms_segments(filled + "あ" * 66) == 3


@pytest.mark.parametrize("text", ["naïve", "“quoted”", "tab\t", "ñandú", "\x1b"])
def test_one_character_outside_the_alphabet_changes_the_encoding_of_the_whole_text(text: str) -> None:
    assert not is_gsm(text)
    assert sms_segments(text + "a" * (71 - len(text))) == 2


@settings(max_examples=150, deadline=None)
@given(text=st.text(alphabet="aé€ê😀\n", max_size=500), more=st.text(alphabet="aé€ê😀", max_size=5))
def test_the_number_of_segments_fits_the_text_and_grows_with_it(text: str, more: str) -> None:
    count = sms_segments(text)
    assert sms_segments(text + more) >= count
    if is_gsm(text):
        needed = sum(2 if letter == "€" else 1 for letter in text)
        assert (needed <= 160 and count == 1) or needed <= 153 * count
        assert count == 1 or needed > 152 * (count - 1)
    else:
        needed = len(text.encode("utf-16-le")) // 2
        assert (needed <= 70 and count == 1) or needed <= 67 * count
        assert count == 1 or needed > 66 * (count - 1)


@pytest.mark.parametrize(
    ("limits", "content", "faults"),
    [
        ({}, {}, ()),
        ({"required_fields": frozenset({"image"})}, {"image": "a.png"}, ()),
        ({"required_fields": frozenset({"image"})}, {}, ("image is missing",)),
        ({"required_fields": frozenset({"image"})}, {"image": "  "}, ("image is missing",)),
        ({"max_lengths": {"title": 5}}, {"title": "Hello"}, ()),
        ({"max_lengths": {"title": 5}}, {"title": "Hello!"}, ("title has 6 characters, at most 5 fit",)),
        ({"max_lengths": {"title": 5}}, {}, ()),
        ({"max_sms_segments": 1}, {"body": "a" * 160}, ()),
        (
            {"max_sms_segments": 1},
            {"body": "a" * 161},
            ("body needs 2 SMS segments in GSM-7, at most 1 are allowed",),
        ),
        (
            {"max_sms_segments": 1},
            {"body": "a" * 70 + "ê"},
            ("body needs 2 SMS segments in UCS-2, at most 1 are allowed",),
        ),
        ({"max_line_width": 4}, {"body": "four\nfour"}, ()),
        ({"max_line_width": 4}, {"body": ""}, ()),
        ({"max_line_width": 4}, {"body": "four\nfives"}, ("body has a line of 5 characters, at most 4 fit",)),
        ({"allowed_formats": frozenset({"a5", "dl"})}, {"format": "a5"}, ()),
        ({"allowed_formats": frozenset({"a5", "dl"})}, {"format": "a4"}, ("format must be one of a5, dl",)),
        ({"allowed_formats": frozenset({"a5", "dl"})}, {}, ("format must be one of a5, dl",)),
    ],
)
def test_content_is_checked_against_the_limits_of_its_channel(
    limits: dict[str, Any], content: dict[str, str], faults: tuple[str, ...]
) -> None:
    assert creative_faults(Channel(channel_id="it", **limits), content) == faults


def test_every_fault_is_reported_without_quoting_the_content() -> None:
    channel = Channel(
        channel_id="sms",
        required_fields=frozenset({"sender"}),
        max_lengths={"body": 10},
        max_sms_segments=1,
        max_line_width=20,
        allowed_formats=frozenset({"plain"}),
    )
    faults = creative_faults(channel, {"body": "Dear Ada, " * 20, "format": "Ada"})
    assert len(faults) == 5
    assert not any("Ada" in fault for fault in faults)
