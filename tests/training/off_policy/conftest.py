"""The shop's log, decided again by a model that knows its effects."""

from collections.abc import Callable

import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import SILENCE
from features.history import History
from features.models.bundle import value_model
from features.settings import Settings
from tests.training.off_policy.scene import Scene, by_mail, history_of
from training.off_policy.evaluation import Judged, judge


@pytest.fixture(scope="session")
def judged(value_bundle, tmp_path_factory) -> Callable[[History, Catalogue], Judged]:
    settings = Settings(home=tmp_path_factory.mktemp("home"))

    def call(history: History, catalogue: Catalogue) -> Judged:
        return judge(history, catalogue, value_model(value_bundle(catalogue), version="7"), settings)

    return call


@pytest.fixture(scope="session")
def scene(shop, shop_catalogue: Catalogue, judged) -> Scene:
    catalogue, history = by_mail(shop_catalogue), history_of(shop)
    return Scene(
        history=history,
        catalogue=catalogue,
        judged=judged(history, catalogue),
        effects={SILENCE: 0} | {f"{offer}/email/plain": effect for offer, effect in shop.effects_minor.items()},
    )
