"""What a new catalogue does to running experiments is stated before it takes effect, and import does exactly that."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.experiment import Inference
from decisioning.gates.assignment import Who
from decisioning.policy import Policy
from features.catalogue import load_catalogue
from features.catalogue.assignment.changes import changes_for_tests
from features.catalogue.assignment.ledger import read_ledger
from features.importing.folder import import_folder
from features.settings import Settings

SHOP = Path(__file__).parents[2] / "catalogues" / "shop"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
MAIL = """
  mail:
    salt: m-1
    control: off
    exposure: decided
    primary: net_revenue
    layer: one
    traffic: 0.5
    arms: {off: {share: 0.5, policy: silence}, on: {share: 0.5}}
"""
Z = "z: {share: 0.1}"
SECOND = MAIL.replace("mail:", "a:").replace("m-1", "a-1")
PROGRAMME = "\nholdouts:\n  points: {share: 0.1, salt: p-1, goals: [loyalty]}\n"

type Change = Callable[[str], str]


def replaced(*pairs: str) -> Change:
    def change(text: str) -> str:
        for old, new in zip(pairs[::2], pairs[1::2], strict=True):
            assert old in text, old
            text = text.replace(old, new)
        return text

    return change


class Home:
    """A home whose catalogue has an experiment in a layer, one without, a holdout and a programme holdout."""

    def __init__(self, path: Path) -> None:
        self.settings, self.folder, self.day = Settings(home=path / "home"), path / "in", 1

    def begin(self) -> None:
        self.folder.mkdir(parents=True)
        shutil.copytree(SHOP, self.folder / "catalogue")
        (self.folder / "customers.csv").write_text("customer_id,updated_at\nC-1,2026-01-01T00:00:00Z\n")
        self.edit(lambda text: text + MAIL + PROGRAMME)
        self.put_in_force()

    def edit(self, change: Change) -> None:
        path = self.folder / "catalogue" / "catalogue.yaml"
        path.write_text(change(path.read_text()))

    @property
    def now(self) -> datetime:
        return NOW + timedelta(days=self.day)

    def changes(self) -> tuple[str, ...]:
        return changes_for_tests(self.folder / "catalogue", self.settings.catalogue_path, self.now)

    def put_in_force(self) -> tuple[str, ...]:
        self.day += 1
        return import_folder(self.folder, self.settings, now=self.now).changes

    @property
    def catalogue(self) -> Catalogue:
        return load_catalogue(self.settings.catalogue_path)


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("begun")
    Home(folder).begin()
    return folder


@pytest.fixture
def home(begun: Path, tmp_path: Path) -> Home:
    shutil.copytree(begun, tmp_path / "copy")
    return Home(tmp_path / "copy")


def arms(catalogue: Catalogue, name: str) -> dict[str, str | None]:
    assigner = Policy(catalogue)._assigner
    customers = [f"C-{index}" for index in range(400)]
    return {
        one: assigner.assign(Who(customer_id=one), touchpoint_id="weekly-mail", now=NOW).arms.get(name)
        for one in customers
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (replaced("    layer: one\n", "    layer: two\n"), "experiment mail: changes its layer"),
        (replaced("salt: m-1", "salt: m-2"), "experiment mail: draws everybody anew (another salt)"),
        (replaced("traffic: 0.5", "unit: household\n    traffic: 0.5"), "household instead of customer"),
        (replaced("traffic: 0.5", "traffic: 0.3"), "experiment mail: 20 % of the customers of its layer leave it"),
        (replaced("traffic: 0.5", "traffic: 0.6"), "10 % of the customers of its layer join; nobody who takes part"),
        (
            replaced("off: {share: 0.5", "off: {share: 0.2", "on: {share: 0.5}", "on: {share: 0.8}"),
            "experiment mail: 30 % of its customers change arms (off 50 % to 20 %, on 50 % to 80 %), no others",
        ),
        (
            replaced("0.5, policy: silence}", "0.4, policy: silence}", "on: {share: 0.5}", "on: {share: 0.5}, " + Z),
            "(off 50 % to 40 %, z 0 % to 10 %)",
        ),
        (replaced("policy: silence}", "policy: rules}"), "arm off is now rules instead of silence"),
        (replaced("primary: net_revenue\n    layer", "primary: clicked\n    layer"), "judged by clicked instead of"),
        (replaced("    layer: one", "    touchpoints: [app-home]\n    layer: one"), "runs on app-home instead"),
        (replaced("    layer: one", "    ends_at: 2026-11-20T00:00:00Z\n    layer: one"), "ends 2026-11-20 00:00 UTC"),
        (replaced("control: off", "control: on"), "experiment mail: is compared with on instead of off"),
        (replaced("exposure: delivered", "exposure: decided"), "counts customers once decided instead of delivered"),
        (replaced(MAIL, ""), "experiment mail: is taken out; nobody is assigned to it any more"),
        (replaced(MAIL, MAIL + SECOND), "experiment a: joins layer one with"),
        (replaced("share: 0.05,", "share: 0.1,"), "holdout: grows from 5 % to 10 %: 5 % of customers get no marketing"),
        (replaced("share: 0.05,", "share: 0.02,"), "holdout: shrinks from 5 % to 2 %: 3 % of customers get marketing"),
        (replaced("holdout-1", "holdout-2"), "holdout: draws everybody anew (another salt)"),
        (replaced("holdout: {share: 0.05, salt: holdout-1}", ""), "holdout: shrinks from 5 % to 0 %"),
        (replaced("share: 0.1, salt: p-1", "share: 0.2, salt: p-1"), "holdout points: grows from 10 % to 20 %"),
        (replaced("salt: p-1", "salt: p-2"), "holdout points: draws everybody anew"),
        (replaced("goals: [loyalty]", "goals: [care]"), "holdout points: keeps back other messages"),
        (replaced(PROGRAMME, ""), "holdout points: shrinks from 10 % to 0 %"),
    ],
)  # fmt: skip
def test_every_change_to_a_running_experiment_is_stated_in_one_sentence(home: Home, change: Change, said: str):
    assert home.changes() == ()
    home.edit(change)
    told = home.changes()
    assert [one for one in told if said in one], told
    assert len(told) == 1, told


def test_import_repeats_what_the_check_said_and_does_it(home: Home):
    home.edit(replaced("share: 0.05,", "share: 0.1,", "traffic: 0.5", "traffic: 0.3"))
    told = home.changes()
    assert len(told) == 2
    assert home.put_in_force() == told
    assert home.changes() == ()


def test_changes_that_do_not_affect_experiments_are_not_mentioned(home: Home):
    home.edit(replaced("cost: 0.01", "cost: 0.02"))
    assert home.put_in_force() == ()
    assert len(home_phases(home, "mail")) == 1


def home_phases(home: Home, name: str) -> tuple:
    ledger = read_ledger(home.settings.catalogue_path)
    assert ledger is not None
    return ledger.experiments[name]


def test_an_experiment_that_joins_a_layer_does_not_change_the_running_one(home: Home):
    before = arms(home.catalogue, "mail")
    home.edit(replaced(MAIL, MAIL + SECOND))
    home.put_in_force()
    assert arms(home.catalogue, "mail") == before
    assert {arm for one, arm in arms(home.catalogue, "a").items() if before[one] is None} == {"off", "on"} | {None}
    home.edit(replaced(SECOND, ""))
    home.put_in_force()
    assert arms(home.catalogue, "mail") == before
    assert home_phases(home, "a")[0].until == home.now


def test_an_import_continues_the_ledger_in_force_and_ignores_the_folders_own(home: Home, tmp_path: Path):
    shutil.copy(home.settings.catalogue_path / "assignment.json", tmp_path / "old.json")
    home.edit(replaced("off: {share: 0.5", "off: {share: 0.2", "on: {share: 0.5}", "on: {share: 0.8}"))
    home.put_in_force()
    phases, before = home_phases(home, "mail"), arms(home.catalogue, "mail")
    shutil.copy(tmp_path / "old.json", home.folder / "catalogue" / "assignment.json")
    home.put_in_force()
    assert home_phases(home, "mail") == phases
    assert arms(home.catalogue, "mail") == before


def test_a_home_from_before_the_ledger_keeps_its_customers_where_they_are(home: Home):
    (home.settings.catalogue_path / "assignment.json").unlink()
    before = arms(home.catalogue, "mail")
    home.edit(replaced(MAIL, MAIL + SECOND))
    assert len(home.put_in_force()) == 1
    assert arms(home.catalogue, "mail") == before


def test_the_version_of_a_catalogue_covers_the_assignment_to_arms(home: Home):
    assert load_catalogue(home.folder / "catalogue").version == home.catalogue.version
    home.edit(replaced(MAIL, MAIL + SECOND))
    home.put_in_force()
    assert load_catalogue(home.folder / "catalogue").version != home.catalogue.version


FIXED = "\n    inference: fixed\n    ends_at: 2027-01-15T00:00:00Z\n"


def planned(home: Home, name: str) -> Inference:
    ledger = read_ledger(home.settings.catalogue_path)
    assert ledger is not None
    return ledger.experiments[name][-1].inference


def test_one_look_counts_only_where_it_was_planned_before_the_experiment_and_is_not_moved(tmp_path: Path):
    home = Home(tmp_path)
    home.begin()
    home.edit(lambda text: text.replace(PROGRAMME, SECOND.rstrip() + FIXED + PROGRAMME))
    home.put_in_force()
    assert (planned(home, "a"), planned(home, "mail")) == (Inference.FIXED, Inference.SEQUENTIAL)
    declared = "    inference: fixed\n    ends_at: 2027-02-01T00:00:00Z\n    traffic: 0.5\n    arms"
    home.edit(lambda text: text.replace("    traffic: 0.5\n    arms", declared, 1))
    home.put_in_force()
    assert (planned(home, "a"), planned(home, "mail")) == (Inference.FIXED, Inference.SEQUENTIAL)
    home.edit(replaced("2027-01-15", "2027-01-20"))
    assert any("its one planned look did not stand" in change for change in home.put_in_force())
    assert planned(home, "a") is Inference.SEQUENTIAL
