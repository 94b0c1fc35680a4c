"""Nextbest's Feast objects: an explicit list that follows the catalogue."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from decisioning.errors import FeatureUnavailableError
from features.computing.feature_set import feature_schema
from features.store.builder import build_features
from features.store.feast_names import FeatureView
from features.store.feast_repository import (
    apply,
    feast_objects,
    feature_store,
)
from features.store.materialisation import materialise

AS_OF = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def home(make_home, small_shop, shop_catalogue):
    settings = make_home(small_shop)
    build_features(settings, shop_catalogue, AS_OF)
    return settings


def test_there_is_a_view_per_group_with_its_features_and_age(shop_catalogue):
    schema = feature_schema(shop_catalogue)
    entity, *views = feast_objects(schema, "/nowhere/*.parquet")
    assert entity.name == "customer"
    assert [view.name for view in views] == [group.name for group in schema.groups]
    for view, group in zip(views, schema.groups, strict=True):
        assert isinstance(view, FeatureView)
        assert tuple(field.name for field in view.features) == group.features
        assert view.ttl is not None
        assert view.ttl.total_seconds() == group.max_age_days * 86_400


def test_applying_again_changes_nothing(home, shop_catalogue):
    before = [view.to_proto().spec.SerializeToString() for view in feature_store(home).list_feature_views()]
    apply(home, shop_catalogue)
    after = [view.to_proto().spec.SerializeToString() for view in feature_store(home).list_feature_views()]
    assert len(before) == len(feature_schema(shop_catalogue).groups)
    assert sorted(before) == sorted(after)


def test_registered_objects_are_not_written_again(home, shop_catalogue, redis_url):
    materialise(home, shop_catalogue, redis_url)
    before = {view.name: view.last_updated_timestamp for view in feature_store(home).list_feature_views()}
    apply(home, shop_catalogue)
    assert {view.name: view.last_updated_timestamp for view in feature_store(home).list_feature_views()} == before


def test_a_removed_group_leaves_the_registry(make_home, small_shop, shop_catalogue):
    home = make_home(small_shop)
    build_features(home, shop_catalogue, AS_OF)
    fewer = replace(shop_catalogue, stages=())
    build_features(home, fewer, AS_OF)
    assert "journey" not in {view.name for view in feature_store(home).list_feature_views()}


def test_before_the_first_build_there_is_nothing_to_register(make_home, small_shop, shop_catalogue):
    settings = make_home(small_shop)
    with pytest.raises(FeatureUnavailableError, match="nextbest features build"):
        apply(settings, shop_catalogue)
