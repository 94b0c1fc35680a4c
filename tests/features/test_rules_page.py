"""The catalogue excerpts in docs/rules.md are merged into the shop's catalogue and checked."""

import re
from pathlib import Path
from shutil import copytree

import pytest
import yaml

from decisioning.catalogue.message_classes import DEFAULT_CLASSES, CapScope, Layer
from decisioning.policy import Policy
from features.catalogue import load_catalogue

PAGE = Path(__file__).parents[2] / "docs" / "rules.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
YES = {"yes": True, "no": False}


def put_into(shop: Path, block: str) -> None:
    """Sections of the page are added to the shop's files, or replace the shop's section."""
    given = yaml.safe_load(block)
    for path in sorted(shop.glob("*.yaml")):
        sections = yaml.safe_load(path.read_text(encoding="utf-8"))
        for name in given.keys() & sections.keys():
            held = sections[name]
            sections[name] = {**held, **given.pop(name)} if isinstance(held, dict) else [*held, *given.pop(name)]
        path.write_text(yaml.safe_dump(sections), encoding="utf-8")
    if given:
        (shop / "page.yaml").write_text(yaml.safe_dump(given), encoding="utf-8")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return Path(copytree(Path(__file__).parents[1] / "catalogues" / "shop", tmp_path / "shop"))


@pytest.mark.parametrize("block", BLOCKS, ids=[block.split(":", 1)[0] for block in BLOCKS])
def test_every_excerpt_on_the_page_is_valid_in_a_catalogue(shop: Path, block: str) -> None:
    before = load_catalogue(shop)
    put_into(shop, block)
    after = load_catalogue(shop)
    Policy(after)
    assert after.version != before.version, "the excerpt changed nothing"


def test_the_page_shows_the_default_matrix() -> None:
    rows = re.findall(
        r"^\| (mandatory|transactional|recovery|service|marketing) \| (.*) \|$", PAGE.read_text(), re.MULTILINE
    )
    assert len(rows) == len(DEFAULT_CLASSES)
    for name, cells in rows:
        first, consent, protected, place, caps, quiet, case, tests, counts = cells.split(" | ")
        rules = next(one for key, one in DEFAULT_CLASSES.items() if key.value == name)
        assert rules.has_precedence is YES[first]
        assert (Layer.CONSENT not in rules.bypasses) is YES[consent]
        assert (Layer.PROTECTION in rules.bypasses) is (protected == "may reach them")
        assert ({Layer.PURPOSE, Layer.CONVERSATION} <= rules.bypasses) is (place == "bypassed")
        assert (Layer.CONTACT_POLICY in rules.bypasses) is (caps == "bypassed")
        assert (Layer.QUIET_HOURS in rules.bypasses) is (quiet == "bypassed")
        assert (Layer.CARE in rules.bypasses) is (case == "passes")
        assert (Layer.TEST in rules.bypasses) is (tests == "passes")
        assert counts == {0: "none", 2: "its own offer and creative", len(CapScope): "all"}[len(rules.counts_towards)]
