"""The newest time zone rules are used, whatever the system has, and a process reports their version and age."""

import re
import subprocess
import sys
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from shutil import copy

import polars as pl
import pytest
import tzdata

from decisioning.catalogue.quiet_hours import QuietHours, QuietPlan, QuietRule
from decisioning.local_time import find_zone
from features.importing.validation import ROW, Surroundings, check_rows
from features.log.contracts import EVENTS
from features.zone_rules import PACKAGE, ZoneRules, rules_in_force, use_newest_rules

ROOT = Path(__file__).parents[2]
PACKAGES = ("decisioning", "features", "training", "serving", "pipelines", "examples")
NIGHT = QuietHours(rules=(QuietRule(from_minute=21 * 60, until_minute=8 * 60),))


@pytest.fixture(autouse=True)
def usual_rules() -> Iterator[None]:
    """Undo a test's changes to the zone rules of this process."""
    folders = zoneinfo.TZPATH
    yield
    zoneinfo.reset_tzpath(folders)
    zoneinfo.ZoneInfo.clear_cache()
    find_zone.cache_clear()


def system_files(folder: Path, release: str | None, *, vancouver: str = "America/Los_Angeles") -> str:
    """A folder of zone files in which Vancouver has another zone's time; until 2025 it had that of Los Angeles."""
    rules = Path(tzdata.__file__).parent / "zoneinfo" / vancouver
    (folder / "America").mkdir(parents=True)
    copy(rules, folder / "America" / "Vancouver")
    if release is not None:
        (folder / "tzdata.zi").write_text(f"# version {release}\n# This zic input file is in the public domain.\n")
    return str(folder)


def hour_in_vancouver(at: datetime) -> int:
    zone = find_zone("America/Vancouver")
    assert zone is not None
    return at.astimezone(zone).hour


@pytest.mark.parametrize("release", ["2025b", "2024a", None])
def test_system_files_that_are_old_or_of_unknown_release_are_not_used(tmp_path: Path, release: str | None) -> None:
    rules = use_newest_rules([system_files(tmp_path, release)])

    assert (rules.source, rules.version) == (PACKAGE, tzdata.IANA_VERSION)
    assert hour_in_vancouver(datetime(2026, 12, 2, 4, 30, tzinfo=UTC)) == 21


@pytest.mark.parametrize("release", ["2099a", "2098aa"])
def test_system_files_newer_than_the_package_are_used(tmp_path: Path, release: str) -> None:
    newer = system_files(tmp_path / "newer", release, vancouver="Asia/Tokyo")
    other = system_files(tmp_path / "other", "2098z")
    rules = use_newest_rules([other, newer])

    assert rules == rules_in_force() == ZoneRules(version=release, source=newer)
    assert hour_in_vancouver(datetime(2026, 12, 2, 4, 30, tzinfo=UTC)) == 13
    assert find_zone("Europe/Berlin") is not None  # zones missing in the folder come from the package
    assert use_newest_rules() == rules  # a second call changes nothing


def test_a_zone_that_was_looked_up_before_follows_the_new_rules_too(tmp_path: Path) -> None:
    folder = system_files(tmp_path, "2025b")
    zoneinfo.reset_tzpath([folder])
    zoneinfo.ZoneInfo.clear_cache()
    find_zone.cache_clear()
    assert hour_in_vancouver(datetime(2026, 12, 2, 4, 30, tzinfo=UTC)) == 20

    use_newest_rules()

    assert hour_in_vancouver(datetime(2026, 12, 2, 4, 30, tzinfo=UTC)) == 21


@pytest.mark.parametrize(
    ("zone", "quiet_at"),
    [
        ("America/Vancouver", datetime(2026, 12, 2, 4, 30, tzinfo=UTC)),  # 21:30, and 20:30 by the rules of 2025b
        ("America/Edmonton", datetime(2026, 12, 2, 3, 30, tzinfo=UTC)),
        ("America/Winnipeg", datetime(2026, 12, 2, 2, 30, tzinfo=UTC)),
        ("America/Inuvik", datetime(2026, 12, 2, 3, 30, tzinfo=UTC)),
        ("Africa/Casablanca", datetime(2026, 12, 2, 7, 30, tzinfo=UTC)),
    ],
)
def test_quiet_hours_follow_the_rules_that_changed_between_2025b_and_2026f(zone: str, quiet_at: datetime) -> None:
    assert QuietPlan(NIGHT).quiet_until(channel_id="sms", zones=(zone,), country=None, now=quiet_at) is not None


@pytest.mark.parametrize(
    "start",
    [
        "import sys; sys.argv = ['', '--help']\nfrom pipelines.cli import main\ntry: main()\nexcept SystemExit: pass",
        "import features.settings as s, serving.http.app as app\napp.create_app(s.Settings(home=HOME))",
        "from pipelines.batch.crew import _serve\ntry: _serve(None, None)\nexcept AttributeError: pass",
    ],
    ids=["command", "server", "worker of a batch"],
)
def test_every_process_starts_with_the_newest_rules(tmp_path: Path, start: str) -> None:
    old = system_files(tmp_path / "zones", "2025b")
    script = f"HOME = {str(tmp_path / 'home')!r}\n{start}\nimport zoneinfo; print('path', zoneinfo.TZPATH)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONTZPATH": old, "NEXTBEST_HOME": str(tmp_path / "home")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines()[-1] == "path ()", done.stderr


def test_rules_count_as_old_from_the_middle_of_the_next_year() -> None:
    rules = ZoneRules(version="2025b", source="/usr/share/zoneinfo")

    assert rules.problem(datetime(2026, 6, 1, tzinfo=UTC)) is None
    assert "must be of 2026, got 2025b from the /usr/share/zoneinfo" in str(
        rules.problem(datetime(2026, 7, 1, tzinfo=UTC))
    )


def test_data_frames_compute_no_local_time() -> None:
    """Data frame libraries have their own zone rules, so code must not pass them any zone but UTC."""
    local = re.compile(
        r"\.(?:(?:convert|replace)_time_zone|tz_convert|tz_localize|base_utc_offset|dst_offset)\((.*?)\)"
    )
    texts = [file.read_text("utf-8") for package in PACKAGES for file in (ROOT / package).rglob("*.py")]

    assert {zone for text in texts for zone in local.findall(text)} == {'"UTC"'}


def test_times_with_another_zone_in_a_file_are_read_correctly() -> None:
    moments = pl.Series([datetime(year, 12, 2, 4, 30, tzinfo=UTC) for year in (2026, 2099)])
    raw = pl.DataFrame(
        {
            ROW: [1, 2],
            "event_id": ["E-1", "E-2"],
            "customer_id": ["C-1", "C-2"],
            "type": ["page_view", "page_view"],
            "occurred_at": moments.dt.convert_time_zone("America/Vancouver"),
        }
    )
    checked = check_rows(EVENTS, "events.parquet", raw, Surroundings(now=datetime(2026, 12, 3, tzinfo=UTC)))

    assert checked.good["occurred_at"].to_list() == [datetime(2026, 12, 2, 4, 30, tzinfo=UTC)]
    assert checked.reasons["value"][0].startswith("2099-12-02 04:30")  # in UTC
