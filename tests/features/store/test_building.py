"""The feature history: complete, incremental, and always consistent with the log."""

import fcntl
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal

import features.store.builder
from decisioning.errors import FeatureUnavailableError, InsufficientDataError, InvalidInputError, UnavailableError
from features.computing.compute import compute_features
from features.computing.feature_set import feature_schema
from features.history import History
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS
from features.log.event_log import EventLog
from features.store.builder import update_history
from features.store.feature_history import built_history, current_generation, history_path

AS_OF = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = ["customer_id", "event_timestamp"]


@pytest.fixture
def home(make_home, small_shop):
    return make_home(small_shop)


def stored(settings, catalogue) -> pl.DataFrame:
    return built_history(settings, feature_schema(catalogue)).scan().collect().sort(KEY)


def computed(settings, catalogue, rows: pl.DataFrame) -> pl.DataFrame:
    """Features computed from the log at the moments of these rows."""
    history = History.from_log(EventLog(settings.log_path))
    return compute_features(history, rows.select("customer_id", pl.col("event_timestamp").alias("at")), catalogue)


def event(small_shop, **fields: object) -> pl.DataFrame:
    return (
        small_shop.events.head(1)
        .with_columns(**{name: pl.lit(value) for name, value in fields.items()})
        .cast(
            EVENTS.schema  # pyright: ignore[reportArgumentType]
        )
    )


def test_a_build_has_every_decision_and_every_customer_now(home, small_shop, shop_catalogue):
    told: list[tuple[int, int]] = []
    report = update_history(home, shop_catalogue, AS_OF, lambda *state: told.append(state))
    rows = stored(home, shop_catalogue)
    assert (
        rows.height
        == report.rows_built
        == small_shop.decisions.height + small_shop.customers.height
        == told[-1][0]
        == told[-1][1]
    )
    snapshot = rows.filter(pl.col("event_timestamp") == AS_OF)
    assert set(snapshot["customer_id"]) == set(small_shop.customers["customer_id"])
    assert_frame_equal(rows, computed(home, shop_catalogue, rows), check_exact=True)


def test_a_second_build_computes_only_what_is_new(home, small_shop, shop_catalogue):
    update_history(home, shop_catalogue, AS_OF)
    before = stored(home, shop_catalogue)
    again = update_history(home, shop_catalogue, AS_OF)
    assert (again.rows_built, again.rows_kept) == (0, before.height)
    EventLog(home.log_path).append(
        DECISIONS, small_shop.decisions.head(1).with_columns(decision_id=pl.lit("new"), decided_at=AS_OF + DAY / 2)
    )
    later = update_history(home, shop_catalogue, AS_OF + DAY)
    assert (later.rows_built, later.rows_kept) == (1 + small_shop.customers.height, before.height)
    rows = stored(home, shop_catalogue)
    assert rows.height == before.height + later.rows_built
    assert_frame_equal(rows, computed(home, shop_catalogue, rows), check_exact=True)


def test_only_the_newest_snapshot_is_kept(home, small_shop, shop_catalogue):
    for days in range(3):
        update_history(home, shop_catalogue, AS_OF + days * DAY)
    rows = stored(home, shop_catalogue)
    assert rows.height == small_shop.decisions.height + 2 * small_shop.customers.height
    assert len(list(history_path(home).glob("g-*"))) == 2


def test_an_event_that_is_recorded_late_changes_no_old_row(home, small_shop, shop_catalogue):
    update_history(home, shop_catalogue, AS_OF)
    before = stored(home, shop_catalogue)
    late = event(small_shop, event_id="late", occurred_at=AS_OF - 30 * DAY, recorded_at=AS_OF + DAY / 2)
    EventLog(home.log_path).append(EVENTS, late)
    report = update_history(home, shop_catalogue, AS_OF + DAY)
    assert report.customers_rebuilt == 0
    rows = stored(home, shop_catalogue)
    assert_frame_equal(rows.join(before, on=KEY, how="semi"), before, check_exact=True)
    assert_frame_equal(rows, computed(home, shop_catalogue, rows), check_exact=True)


def test_history_imported_later_rebuilds_the_customers_it_concerns(home, small_shop, shop_catalogue):
    update_history(home, shop_catalogue, AS_OF)
    older = event(small_shop, event_id="older", occurred_at=AS_OF - 80 * DAY)
    EventLog(home.log_path).append(EVENTS, older)
    report = update_history(home, shop_catalogue, AS_OF)
    concerned = small_shop.decisions.filter(pl.col("customer_id") == older["customer_id"][0]).height + 1
    assert (report.customers_rebuilt, report.rows_built) == (1, concerned)
    rows = stored(home, shop_catalogue)
    assert_frame_equal(rows, computed(home, shop_catalogue, rows), check_exact=True)


def test_an_erased_customer_leaves_the_history(home, small_shop, shop_catalogue):
    update_history(home, shop_catalogue, AS_OF)
    for table in ("customers", "events", "decisions", "outcomes"):
        DeltaTable(home.log_path / table).delete("customer_id = 'C-00003'")
    update_history(home, shop_catalogue, AS_OF + DAY)
    rows = stored(home, shop_catalogue)
    assert "C-00003" not in set(rows["customer_id"])
    assert_frame_equal(rows, computed(home, shop_catalogue, rows), check_exact=True)


def test_the_history_has_no_rows_of_customers_who_opted_out_of_profiling_until_they_opt_in(
    home, small_shop, shop_catalogue
):
    update_history(home, shop_catalogue, AS_OF)
    log = EventLog(home.log_path)
    out = {"event_id": "out", "customer_id": "C-00003", "type": "profiling_opted_out", "occurred_at": AS_OF}
    log.append(EVENTS, event(small_shop, **out))

    report = update_history(home, shop_catalogue, AS_OF + DAY)

    rows = stored(home, shop_catalogue)
    assert "C-00003" not in set(rows["customer_id"])
    assert (report.customers_not_profiled, report.customers) == (1, small_shop.customers.height - 1)
    assert_frame_equal(rows, computed(home, shop_catalogue, rows), check_exact=True)

    back = {"event_id": "in", "type": "profiling_opted_in", "occurred_at": AS_OF + DAY}
    log.append(EVENTS, event(small_shop, **out | back))
    update_history(home, shop_catalogue, AS_OF + 2 * DAY)

    rows = stored(home, shop_catalogue)
    assert rows.filter(pl.col("customer_id") == "C-00003").height == 1 + 8  # now, and its decisions
    assert_frame_equal(rows, computed(home, shop_catalogue, rows), check_exact=True)


def test_a_log_of_people_who_opted_out_has_nothing_to_build(make_home, tables_of, shop_catalogue):
    said = [{"type": "profiling_opted_out", "occurred_at": AS_OF - DAY}]
    settings = make_home(tables_of(customers=[{"updated_at": AS_OF - DAY}], events=said))

    with pytest.raises(InsufficientDataError, match="who may be profiled"):
        update_history(settings, shop_catalogue, AS_OF)


def test_a_changed_definition_rebuilds_everything(home, small_shop, shop_catalogue):
    update_history(home, shop_catalogue, AS_OF)
    coffee = replace(shop_catalogue.offers["free-coffee"], kind="points")
    rekinded = replace(shop_catalogue, offers={**shop_catalogue.offers, "free-coffee": coffee})
    assert update_history(home, rekinded, AS_OF).rows_kept == 0
    fewer = replace(shop_catalogue, stages=())
    with pytest.raises(FeatureUnavailableError, match="nextbest features build"):
        built_history(home, feature_schema(fewer))
    assert update_history(home, fewer, AS_OF).rows_kept == 0
    assert stored(home, fewer).width == 2 + len(feature_schema(fewer).names)


def test_a_full_build_rebuilds_everything(home, shop_catalogue):
    first = update_history(home, shop_catalogue, AS_OF)
    again = update_history(home, shop_catalogue, AS_OF, full=True)
    assert (again.rows_built, again.rows_kept) == (first.rows_built, 0)


def test_a_build_that_fails_leaves_the_previous_one_in_force(home, shop_catalogue, monkeypatch):
    update_history(home, shop_catalogue, AS_OF)
    before = stored(home, shop_catalogue)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(features.store.builder, "put_in_force", die)
        with pytest.raises(KeyboardInterrupt):
            update_history(home, shop_catalogue, AS_OF + DAY)
    assert_frame_equal(stored(home, shop_catalogue), before, check_exact=True)
    assert update_history(home, shop_catalogue, AS_OF + DAY).generation == 2
    assert not list(history_path(home).glob("draft-*"))


def test_a_second_build_at_the_same_time_is_refused(home, shop_catalogue):
    home.features_path.mkdir(parents=True)
    with (home.features_path / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UnavailableError, match="only one build"):
            update_history(home, shop_catalogue, AS_OF)


def test_a_damaged_manifest_is_reported(home, shop_catalogue):
    update_history(home, shop_catalogue, AS_OF)
    generation = current_generation(home)
    assert generation is not None
    (generation.path / "manifest.json").write_text("{")
    with pytest.raises(FeatureUnavailableError, match="readable manifest"):
        current_generation(home)


def test_an_empty_log_and_a_moment_without_a_zone_are_refused(make_home, tables_of, shop_catalogue):
    settings = make_home(tables_of())
    with pytest.raises(InsufficientDataError, match="nextbest import"):
        update_history(settings, shop_catalogue, AS_OF)
    with pytest.raises(InvalidInputError, match="time zone"):
        update_history(settings, shop_catalogue, AS_OF.replace(tzinfo=None))


def test_customers_of_the_future_are_not_in_the_snapshot(make_home, tables_of, shop_catalogue):
    rows = [{"updated_at": AS_OF - DAY}, {"customer_id": "later", "updated_at": AS_OF}]
    settings = make_home(tables_of(customers=rows))
    assert update_history(settings, shop_catalogue, AS_OF).customers == 1
    assert CUSTOMERS.key == ("customer_id", "updated_at")
