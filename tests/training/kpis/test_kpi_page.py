"""docs/kpi.md says what every figure counts, and its catalogue excerpt loads."""

import re
import shutil
from pathlib import Path

import pytest

from features.catalogue import check_catalogue, load_fairness
from features.catalogue.fairness_rules import FairnessMeasure, Grouping
from training.kpis.definitions import DEFINITIONS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "kpi.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kpi_id", DEFINITIONS)
def test_the_page_describes_every_figure_like_the_report(kpi_id: str):
    definition = DEFINITIONS[kpi_id]
    types = ", ".join(f"`{name}`" for name in (*definition.events, *definition.outcomes)) or "-"
    row = f"| {definition.title} | `{kpi_id}` | {types} | {definition.counts} | {definition.interval} |"
    assert row in PAGE.splitlines()


def test_the_guardrails_on_the_page_load_and_every_measure_and_grouping_is_named(tmp_path: Path):
    shutil.copytree(ROOT / "tests" / "catalogues" / "shop", tmp_path / "catalogue")
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    (tmp_path / "catalogue" / "fairness.yaml").write_text(block)
    assert not check_catalogue(tmp_path / "catalogue")
    assert len(load_fairness(tmp_path / "catalogue").guardrails) == 4
    assert all(f"`{name}`" in PAGE for name in (*FairnessMeasure, *Grouping))
