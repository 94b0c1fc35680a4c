"""Features and profiles are written to Redis: all at first, later only new ones."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import polars as pl
import pytest
from redis import Redis

from decisioning.catalogue.measure import Engagement
from decisioning.errors import FeatureUnavailableError
from features.computing.compute import compute_features
from features.computing.feature_set import feature_schema
from features.history import History
from features.log.contracts import EVENTS, OUTCOMES, UTC_TIME
from features.log.event_log import EventLog
from features.online.customer_lookup import read_customer
from features.online.redis_keys import EVIDENCE_KEY, feature_key
from features.store.builder import build_features
from features.store.materialisation import materialise

AS_OF = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def home(make_home, small_shop, shop_catalogue):
    settings = make_home(small_shop)
    build_features(settings, shop_catalogue, AS_OF)
    return settings


def features_online(url, catalogue, customer_id, now):
    vector, _ = read_customer(url, customer_id, feature_schema(catalogue), now)
    assert vector is not None
    return vector


def expected(small_shop, catalogue, customer_id, moment) -> np.ndarray:
    anchors = pl.DataFrame(
        {"customer_id": [customer_id], "at": [moment]}, schema={"customer_id": pl.String, "at": UTC_TIME}
    )
    return compute_features(small_shop, anchors, catalogue).drop("customer_id", "event_timestamp").to_numpy()[0]


def test_every_customer_gets_features_and_a_profile(home, small_shop, shop_catalogue, redis_url):
    told: list[tuple[int, int]] = []
    report = materialise(home, shop_catalogue, redis_url, progress=lambda *state: told.append(state))
    assert (report.is_full, report.feature_records, report.profiles) == (
        True,
        small_shop.customers.height,
        small_shop.customers.height,
    )
    assert told[-1] == (2 * small_shop.customers.height,) * 2
    for customer_id in ("C-00000", "C-00023"):
        vector = features_online(redis_url, shop_catalogue, customer_id, AS_OF + DAY)
        np.testing.assert_array_equal(vector.values, expected(small_shop, shop_catalogue, customer_id, AS_OF))
        assert set(vector.ages_seconds.values()) == {86_400.0}
    _, profile = read_customer(redis_url, "C-00023", feature_schema(shop_catalogue), AS_OF)
    assert profile is not None
    assert profile.time_zone == "Europe/Berlin"


def test_later_runs_write_only_what_is_new(home, small_shop, shop_catalogue, redis_url):
    materialise(home, shop_catalogue, redis_url)
    again = materialise(home, shop_catalogue, redis_url)
    assert (again.is_full, again.feature_records) == (False, 0)
    for days in (1, 2):
        build_features(home, shop_catalogue, AS_OF + days * DAY)
        later = materialise(home, shop_catalogue, redis_url)
        assert (later.is_full, later.feature_records) == (False, small_shop.customers.height)
        vector = features_online(redis_url, shop_catalogue, "C-00007", AS_OF + days * DAY)
        np.testing.assert_array_equal(
            vector.values, expected(small_shop, shop_catalogue, "C-00007", AS_OF + days * DAY)
        )


def test_clicks_of_machines_count_alike_online_in_a_later_build_and_in_the_log(
    make_home, small_shop, shop_catalogue, redis_url
):
    """The second click of each message, which tells that a program clicks, is heard of after the first build."""
    home, log_of = make_home(small_shop), small_shop.outcomes
    catalogue = replace(shop_catalogue, engagement=Engagement(scanned_channels=frozenset({"email"})))
    mail = small_shop.decisions.filter(pl.col("channel") == "email")
    clicked = log_of.filter(pl.col("type") == "clicked")
    sent = mail.join(clicked, on="decision_id", how="anti").sort("decided_at").tail(12)

    def clicks(link: str, seconds: float, heard_at: datetime) -> pl.DataFrame:
        rows = sent.select(
            pl.format("{}-{}", "decision_id", pl.lit(link)).alias("outcome_id"),
            "decision_id",
            "customer_id",
            type=pl.lit("clicked"),
            occurred_at=pl.lit(AS_OF - 2 * DAY + timedelta(seconds=seconds)).cast(UTC_TIME),
            recorded_at=pl.lit(heard_at).cast(UTC_TIME),
            properties=pl.lit(f'{{"link": "{link}"}}'),
        )
        return pl.concat([pl.DataFrame(schema=OUTCOMES.schema), rows], how="diagonal")

    log, name = EventLog(home.log_path), list(feature_schema(catalogue).names).index("email_clicked_rate_90d")
    rates = []
    for days, news in enumerate((clicks("a", 1.5, AS_OF - DAY), clicks("b", 2.5, AS_OF + DAY / 2))):
        log.append(OUTCOMES, news)
        build_features(home, catalogue, AS_OF + days * DAY)
        materialise(home, catalogue, redis_url)
        history, found = History.from_log(log), []
        for customer_id in sent["customer_id"].unique(maintain_order=True):
            online = features_online(redis_url, catalogue, customer_id, AS_OF + days * DAY).values
            np.testing.assert_array_equal(online, expected(history, catalogue, customer_id, AS_OF + days * DAY))
            found.append(online[name])
        rates.append(found)
    assert np.all(np.array(rates[0]) > rates[1])


def test_a_redis_that_lost_everything_is_filled_again(home, small_shop, shop_catalogue, redis_url):
    materialise(home, shop_catalogue, redis_url)
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
    report = materialise(home, shop_catalogue, redis_url)
    assert (report.is_full, report.feature_records) == (True, small_shop.customers.height)


def test_another_schema_is_refused_until_it_is_materialised(home, shop_catalogue, redis_url):
    materialise(home, shop_catalogue, redis_url)
    fewer = replace(shop_catalogue, stages=())
    with pytest.raises(FeatureUnavailableError, match="nextbest features materialise"):
        features_online(redis_url, fewer, "C-00001", AS_OF)
    with pytest.raises(FeatureUnavailableError, match="nextbest features build"):
        materialise(home, fewer, redis_url)
    build_features(home, fewer, AS_OF)
    assert materialise(home, fewer, redis_url).is_full
    assert features_online(redis_url, fewer, "C-00001", AS_OF).schema == feature_schema(fewer).fingerprint
    with Redis.from_url(redis_url) as redis:
        assert redis.strlen(feature_key("C-00001")) == 8 * (len(feature_schema(fewer).names) + 2 * 7)


def test_an_unreachable_redis_is_reported_by_materialise(home, shop_catalogue):
    with pytest.raises(FeatureUnavailableError, match="Redis"):
        materialise(home, shop_catalogue, "unix:///nonexistent/redis.sock")


def say(home, small_shop, **fields: object) -> None:
    word = {"event_id": str(fields), "customer_id": "C-00003", "occurred_at": AS_OF, **fields}
    EventLog(home.log_path).append(EVENTS, pl.DataFrame([word], schema=EVENTS.schema, orient="row"))


def test_people_who_opted_out_of_profiling_keep_a_profile_and_no_features(home, small_shop, shop_catalogue, redis_url):
    materialise(home, shop_catalogue, redis_url)
    say(home, small_shop, type="profiling_opted_out")

    again = materialise(home, shop_catalogue, redis_url)  # the history still has a row from before

    with Redis.from_url(redis_url) as redis:
        assert (again.is_full, again.not_profiled) == (False, 1)
        assert redis.exists(feature_key("C-00003")) == 0
        assert redis.exists(feature_key("C-00004")) == 1
        materialise(home, shop_catalogue, redis_url, full=True)
        assert redis.exists(feature_key("C-00003")) == 0
    _, profile = read_customer(redis_url, "C-00003", feature_schema(shop_catalogue), AS_OF)
    assert profile is not None
    assert profile.has_opted_out_of_profiling


def test_answers_given_after_the_customer_row_are_kept(home, small_shop, shop_catalogue, redis_url):
    pair = {"channel": "email", "purpose": "marketing"}
    say(home, small_shop, type="consent_withdrawn", properties=orjson.dumps(pair).decode())
    say(home, small_shop, type="protected", properties='{"protection": "vulnerable"}')
    left = {
        "outcome_id": "left",
        "decision_id": "D-00004-0",
        "customer_id": "C-00004",
        "type": "unsubscribed",
        "occurred_at": AS_OF,
    }
    EventLog(home.log_path).append(OUTCOMES, pl.DataFrame([left], schema=OUTCOMES.schema, orient="row"))
    sent = small_shop.decisions.filter(pl.col("decision_id") == "D-00004-0")["channel"][0]

    with Redis.from_url(redis_url) as redis:
        for _ in range(2):
            redis.flushall()  # live answers went with it
            materialise(home, shop_catalogue, redis_url)
            _, one = read_customer(redis_url, "C-00003", feature_schema(shop_catalogue), AS_OF)
            _, other = read_customer(redis_url, "C-00004", feature_schema(shop_catalogue), AS_OF)
            assert one is not None
            assert other is not None
            answers = {(each.channel_id, each.purpose): each.is_granted for each in one.consents}
            assert answers["email", "marketing"] is False
            assert one.protections == {"vulnerable"}
            gone = {each.is_granted for each in other.consents if sent in (None, each.channel_id)}
            assert gone == {False}


def test_counts_of_sent_offers_are_written_to_redis_once(home, small_shop, shop_catalogue, redis_url):
    counts = dict(small_shop.decisions.drop_nulls("offer_id").group_by("offer_id").len().iter_rows())
    with Redis.from_url(redis_url) as redis:
        redis.hset(EVIDENCE_KEY, "free-coffee", 1)  # earlier commits
        redis.hset(EVIDENCE_KEY, "brand-new", 7)
        materialise(home, shop_catalogue, redis_url)
        told = {name.decode(): int(count) for name, count in redis.hgetall(EVIDENCE_KEY).items()}
        assert told == counts | {"brand-new": 7}
        redis.hincrby(EVIDENCE_KEY, "free-coffee", 1)
        materialise(home, shop_catalogue, redis_url, full=True)
        assert int(redis.hget(EVIDENCE_KEY, "free-coffee") or 0) == counts["free-coffee"] + 1
