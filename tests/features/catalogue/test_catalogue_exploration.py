"""The check of a probability floor if there are many messages."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.catalogue import examine_catalogue
from features.catalogue.checks.findings import Proof

SHOP = Path(__file__).parents[2] / "catalogues" / "shop"
NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(("floor", "is_told"), [("0.005", False), ("0.05", True)])
def test_a_floor_that_does_not_fit_all_messages_is_reported_with_its_share(
    tmp_path: Path, floor: str, is_told: bool
) -> None:
    shutil.copytree(SHOP, tmp_path / "shop")
    path = tmp_path / "shop" / "catalogue.yaml"
    text = path.read_text()
    assert "min_probability: 0.005" in text
    path.write_text(text.replace("min_probability: 0.005", f"min_probability: {floor}"))
    told = [one for one in examine_catalogue(tmp_path / "shop", NOW).findings if one.proof is Proof.FLOOR_OUT_OF_REACH]
    assert len(told) == is_told
    if is_told:
        assert told[0].field == "exploration.min_probability"
        assert "would take 40% of the decisions at weekly-mail, where 8 messages" in told[0].found
        assert "exploration takes 10% at most, so each gets 0.013 then" in told[0].found
