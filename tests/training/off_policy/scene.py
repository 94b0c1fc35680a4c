"""The shop's log with a model that knows its effects, and how tests read an evaluation."""

from dataclasses import dataclass, replace

import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.journey import Touchpoint
from features.history import History
from training.off_policy.evaluation import Evaluation, Judged, evaluate

TEN, DOUBLE = "ten-percent/email/plain", "double-stamps/email/plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The shop's log, its catalogue with e-mail only (which the log used), and a model that knows the effects."""

    history: History
    catalogue: Catalogue
    judged: Judged
    effects: dict[str, int]

    def evaluate(self, **options: object) -> Evaluation:
        return evaluate(self.judged, self.history, self.catalogue, constant=TEN, **options)  # pyright: ignore[reportArgumentType]


def by_mail(catalogue: Catalogue) -> Catalogue:
    mail = Touchpoint(touchpoint_id="weekly-mail", channels=frozenset({"email"}))
    return replace(catalogue, touchpoints={"weekly-mail": mail})


def history_of(shop, **changes: pl.DataFrame) -> History:
    frames = {name: getattr(shop, name) for name in ("customers", "events", "decisions", "outcomes")} | changes
    return History(**frames)


def value_of(evaluation: Evaluation, name: str):
    return next(one for one in evaluation.values if one.name == name)


def gap_of(evaluation: Evaluation, policy: str, against: str):
    return next(one for one in evaluation.differences if (one.policy, one.against) == (policy, against))
