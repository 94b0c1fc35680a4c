"""Training sets: which decisions count, over which window, and what was chosen."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InsufficientDataError, InvalidPolicyError
from decisioning.value_model import context_vector
from features.computing.compute import compute_features
from features.history import History
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS
from training.data.datasets import (
    OPTED_OUT,
    PUT_OFF,
    UNSAID,
    Dataset,
    contexts_of,
    learnable,
    learning_of,
    make_dataset,
    message_keys,
    windows,
)

AFTER = datetime(2026, 11, 1, tzinfo=UTC)


def history_of(shop, **changes: pl.DataFrame) -> History:
    tables = {name: getattr(shop, name) for name in ("customers", "events", "decisions", "outcomes")}
    return History(**{**tables, **changes})


def dataset_of(history: History, catalogue: Catalogue) -> Dataset:
    window = learnable(history, catalogue, as_of=AFTER)
    anchors = window.decisions.select("customer_id", pl.col("decided_at").alias("at"))
    return make_dataset(window, compute_features(history, anchors, catalogue), history, catalogue)


@pytest.fixture(scope="module")
def dataset(shop, shop_catalogue: Catalogue) -> Dataset:
    return dataset_of(history_of(shop), shop_catalogue)


def test_every_decision_has_its_features_and_its_value(dataset: Dataset, shop, shop_catalogue: Catalogue):
    assert dataset.size == shop.decisions.height
    assert dataset.features.shape == (dataset.size, len(dataset.feature_names))
    row = 700
    who, at = dataset.decisions["customer_id"][row], dataset.decisions["decided_at"][row]
    bought = shop.events.filter(
        (pl.col("customer_id") == who) & pl.col("occurred_at").is_between(at, at + timedelta(days=7), closed="left")
    )
    assert dataset.values[row] == min(bought["amount_minor"].sum(), 10_000)
    earlier = shop.events.filter((pl.col("customer_id") == who) & (pl.col("occurred_at") < at))
    assert dataset.features[row, dataset.feature_names.index("purchase_count_365d")] == earlier.height


def test_actions_are_silence_and_the_sent_messages(dataset: Dataset, shop):
    assert dataset.keys[0] == "silence"
    assert set(dataset.keys[1:]) == {
        f"{offer}/email/plain" for offer in ("double-stamps", "free-coffee", "ten-percent", "opening-hours")
    }
    logged = dict(shop.decisions.select("decision_id", "offer_id").iter_rows())
    for decision_id, action in zip(dataset.decisions["decision_id"], dataset.actions, strict=True):
        assert (logged[decision_id] or "silence") == dataset.keys[action].split("/")[0]


def test_the_context_equals_the_one_used_to_decide(dataset: Dataset):
    at = dataset.decisions["decided_at"][3]
    np.testing.assert_allclose(dataset.contexts[3], context_vector(at, 7.0))


def test_the_window_comes_from_the_decision_or_the_catalogue(shop_catalogue: Catalogue):
    at = datetime(2026, 5, 4, 13, 45, tzinfo=UTC)
    decisions = pl.DataFrame(
        [
            {"decision_id": "a", "customer_id": "A", "decided_at": at},
            {"decision_id": "b", "customer_id": "A", "decided_at": at, "window_ends_at": at + timedelta(days=3)},
        ],
        schema=DECISIONS.schema,
    )
    found = windows(decisions, shop_catalogue, window_days=7.0)
    assert contexts_of(found)[:, 0].tolist() == [7.0, 3.0]
    np.testing.assert_allclose(contexts_of(found)[0], context_vector(at, 7.0))


def test_decisions_without_a_complete_window_are_left_out_and_counted(shop, shop_catalogue: Catalogue):
    strange = shop.decisions.with_columns(
        offer_id=pl.when(pl.col("offer_id") == "free-coffee").then(pl.lit("gone")).otherwise("offer_id")
    )
    window = learnable(history_of(shop, decisions=strange), shop_catalogue, as_of=AFTER - timedelta(days=1))
    gone = strange.filter((pl.col("offer_id") == "gone") & (pl.col("window_ends_at") < AFTER)).height
    assert window.left_out == {
        "window not over yet": 200,
        "message not in the catalogue": gone,
        OPTED_OUT: 0,
        PUT_OFF: 0,
        UNSAID: 0,
    }
    assert window.decisions.height == strange.height - 200 - gone


def test_what_was_put_off_is_no_silence_to_learn_from(shop, shop_catalogue: Catalogue):
    """The decision at the better hour says what was chosen."""
    is_put_off = pl.col("offer_id").is_null() & (pl.col("customer_id") == "C-00001")
    marked = shop.decisions.with_columns(put_off_until=pl.when(is_put_off).then(pl.lit(AFTER)))
    whole, window = (
        learnable(history_of(shop, decisions=one), shop_catalogue, as_of=AFTER) for one in (shop.decisions, marked)
    )
    assert window.left_out[PUT_OFF] == whole.decisions.height - window.decisions.height > 0


def test_a_model_does_not_look_at_the_hour_where_messages_may_wait(shop, shop_catalogue: Catalogue):
    touchpoints = {name: replace(one, wait_seconds=3_600) for name, one in shop_catalogue.touchpoints.items()}
    plain, waiting = (
        dataset_of(history_of(shop), one).contexts
        for one in (shop_catalogue, replace(shop_catalogue, touchpoints=touchpoints))
    )
    assert plain[:, 1:].any()
    assert (waiting == plain * [1.0, 0.0, 0.0]).all()


def opting(customer_id: str, kind: str, at: datetime) -> dict[str, object]:
    return {"event_id": f"{customer_id}-{kind}", "customer_id": customer_id, "type": kind, "occurred_at": at}


def test_people_who_opted_out_of_profiling_are_in_no_training_set(shop, shop_catalogue: Catalogue):
    said = pl.DataFrame(
        [
            opting("C-00001", "profiling_opted_out", AFTER - timedelta(days=2)),
            opting("C-00002", "profiling_opted_out", AFTER - timedelta(days=2)),
            opting("C-00002", "profiling_opted_in", AFTER - timedelta(days=1)),
        ],
        schema=EVENTS.schema,
    )
    refusal = '[{"channel": "any", "purpose": "profiling", "granted": false}]'
    row = {"customer_id": "C-00003", "updated_at": AFTER - timedelta(days=1), "consents": refusal}
    rows = pl.DataFrame([row], schema=CUSTOMERS.schema, orient="row")
    history = history_of(shop, events=pl.concat([shop.events, said]), customers=pl.concat([shop.customers, rows]))

    dataset = dataset_of(history, shop_catalogue)

    out = shop.decisions.filter(pl.col("customer_id").is_in(["C-00001", "C-00003"])).height
    everybody = set(shop.decisions["customer_id"])
    assert set(dataset.decisions["customer_id"]) == everybody - {"C-00001", "C-00003"}
    assert dataset.left_out[OPTED_OUT] == out > 0


def test_a_decision_without_a_creative_counts_for_the_first_matching_one(shop_catalogue: Catalogue):
    rows = [
        ("free-coffee", None, None),
        ("free-coffee", "push", None),
        (None, None, None),
        ("free-coffee", "fax", None),
    ]
    decisions = pl.DataFrame(rows, schema=["offer_id", "channel", "creative_id"], orient="row")
    assert message_keys(decisions, shop_catalogue).to_list() == [
        "free-coffee/email/plain",
        "free-coffee/push/plain",
        "silence",
        None,
    ]


def test_the_digest_depends_on_the_content(dataset: Dataset, shop, shop_catalogue: Catalogue):
    shuffled = history_of(shop, decisions=shop.decisions.sample(fraction=1.0, shuffle=True, seed=1))
    assert dataset_of(shuffled, shop_catalogue).digest == dataset.digest
    changed = dataset.values.copy()
    changed[5] += 1
    assert replace(dataset, values=changed).digest != dataset.digest


def test_a_log_without_silence_is_refused(shop, shop_catalogue: Catalogue):
    sent = shop.decisions.filter(pl.col("offer_id").is_not_null())
    with pytest.raises(InsufficientDataError, match="silence"):
        dataset_of(history_of(shop, decisions=sent), shop_catalogue)


def test_a_few_decisions_are_a_dataset_and_too_few_customers_are_refused(shop, shop_catalogue: Catalogue):
    few = shop.decisions.unique("customer_id", keep="first", maintain_order=True)
    assert dataset_of(history_of(shop, decisions=few.head(30)), shop_catalogue).size == 30
    with pytest.raises(InsufficientDataError, match=r"at least 10 customers .* got 9"):
        dataset_of(history_of(shop, decisions=few.head(9)), shop_catalogue)


@pytest.mark.parametrize("change", [{"learning": None}, {"measures": {}}])
def test_a_catalogue_that_does_not_say_what_to_learn_is_refused(shop_catalogue: Catalogue, change: dict[str, object]):
    with pytest.raises(InvalidPolicyError, match="learning"):
        learning_of(replace(shop_catalogue, **change))  # pyright: ignore[reportArgumentType]


def test_taking_rows_applies_to_every_column(dataset: Dataset):
    rows = dataset.actions == 0
    taken = dataset.take(rows)
    assert taken.size == rows.sum() == taken.decisions.height == len(taken.features) == len(taken.contexts)
    assert (taken.actions == 0).all()


def test_a_missing_probability_drops_only_that_decision(shop, shop_catalogue: Catalogue):
    is_first = pl.int_range(pl.len()) == 0
    unsaid = shop.decisions.with_columns(
        action_probability=pl.when(is_first).then(None).otherwise(pl.col("action_probability"))
    )
    history = history_of(shop, decisions=unsaid)
    window = learnable(history, shop_catalogue, as_of=AFTER)
    assert window.left_out[UNSAID] == 1
    assert window.decisions["action_probability"].null_count() == 0
    assert window.decisions.height == learnable(history_of(shop), shop_catalogue, as_of=AFTER).decisions.height - 1


def test_if_many_probabilities_are_missing_the_log_counts_as_without_them(shop, shop_catalogue: Catalogue):
    is_tenth = pl.int_range(pl.len()) % 10 == 0
    unsaid = shop.decisions.with_columns(
        action_probability=pl.when(is_tenth).then(None).otherwise(pl.col("action_probability"))
    )
    window = learnable(history_of(shop, decisions=unsaid), shop_catalogue, as_of=AFTER)
    assert window.left_out[UNSAID] == 0
    assert window.decisions["action_probability"].null_count() > 0


def test_a_log_without_any_value_is_refused_with_what_to_check(shop, shop_catalogue: Catalogue):
    strangers = shop.events.with_columns(customer_id=pl.col("customer_id") + ".0")
    history = history_of(shop, events=strangers)
    window = learnable(history, shop_catalogue, as_of=AFTER)
    rows = window.decisions.select("customer_id", event_timestamp="decided_at")
    with pytest.raises(InsufficientDataError, match=r"worth nothing by 'net_revenue' \(purchase, stamp_paid\): check"):
        make_dataset(window, rows, history, shop_catalogue)
