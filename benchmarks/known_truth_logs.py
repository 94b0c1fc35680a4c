"""Randomised logs whose truth is known: what every message does to every customer, and what a customer brings anyway.

All amounts are in standard deviations of the outcome, as the logs of `known_truth.py` are drawn at several strengths.
"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from decisioning.arrays import FloatArray, IntArray
from decisioning.catalogue.catalogue import Catalogue
from features.catalogue import load_catalogue
from features.computing.feature_set import STAGE_INDEX
from training.data.datasets import Dataset, messages_of

COLUMNS = 10
KINDS = 5

_EXPLAINED = 0.3  # share of the outcome's variance that customers' columns explain
_UNIT = 10_000.0  # minor units of money in one standard deviation of the outcome
_LEVEL = 3.0  # mean of the outcome

# Where purchases are rare one in twenty buys, with a long tail: a mean of 0.17 has a standard deviation of 1.
_RARE_SHARE, _RARE_TAIL, _RARE_LEVEL = 0.05, 0.8, 0.17
_RARE_EXPLAINED, _RARE_LEAST = 0.04, -0.165

_HEAD = """
currency: EUR
offer_kinds: [{kinds}]
event_types: [signup]
offer_attributes: {{{attributes}}}
measures: {{money: {{unit: money, add: [purchase]}}}}
learning: {{measure: money, window_days: 7}}
goals: {{sales: {{department: marketing}}}}
stages: [{stages}]
touchpoints: {{mail: {{channels: [email]}}}}
channels: {{email: {{cost: 0.0}}}}
offers:
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """How the effects of messages are made up.

    Attributes:
        strength: Of all effects; at 1 a message adds 6 % of the outcome's standard deviation on average.
        messages: How many.
        declared: What the catalogue says of offers: `attributes`, `kinds` or `nothing`.
        spread: Standard deviation of the messages' average effects.
        by_customer: Of what customers gain from any message.
        by_kind: Of what customers gain from a kind of offer.
        by_message: Of what customers gain from one message.
        is_logged_by_rules: Whether who gets what depended on the customer; else every action was as probable.
        is_rare: Whether hardly anybody buys, and a few spend very much.
        stages: By journey stage, how much of what customers differ in there is of it; 0 is none, -1 the reverse.
    """

    strength: float = 1.0
    messages: int = 20
    declared: str = "kinds"
    spread: float = 0.02
    by_customer: float = 0.02
    by_kind: float = 0.045
    by_message: float = 0.035
    is_logged_by_rules: bool = False
    is_rare: bool = False
    stages: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is true of n customers and k messages.

    Attributes:
        features: shape (n, `COLUMNS`), and a column more where there are several stages.
        silence: shape (n,), expected outcome without a message, in standard deviations.
        effects: shape (n, k), what each message adds.
    """

    features: FloatArray
    silence: FloatArray
    effects: FloatArray

    def gain(self, choices: IntArray) -> float:
        """Mean gain over silence of choices, shape (n,): 0 for silence, i for message i - 1."""
        rows = np.arange(len(choices))
        return float(np.where(choices > 0, self.effects[rows, np.maximum(choices - 1, 0)], 0.0).mean())

    @property
    def best_gain(self) -> float:
        """Gain of the oracle, who sends every customer what adds most, or nothing."""
        return float(np.maximum(self.effects.max(axis=1), 0.0).mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownWorld:
    """A design with everything random about it drawn, but for the customers.

    Attributes:
        averages: shape (k,).
        kinds: shape (k,), the kind of each message.
        curves: What a customer gains: one function for all messages, one per kind, one per message.
    """

    design: Design
    averages: FloatArray
    kinds: IntArray
    baseline: "Curve"
    common: "Curve"
    of_kinds: tuple["Curve", ...]
    of_messages: tuple["Curve", ...]

    @classmethod
    def drawn(cls, design: Design, seed: int) -> "KnownWorld":
        """A world of a design."""
        rng = np.random.default_rng([seed, 1])
        return cls(
            design=design,
            averages=0.06 + rng.normal(0.0, design.spread, design.messages),
            kinds=rng.permutation(np.arange(design.messages) % KINDS),
            baseline=Curve.drawn(rng),
            common=Curve.drawn(rng),
            of_kinds=tuple(Curve.drawn(rng) for _ in range(KINDS)),
            of_messages=tuple(Curve.drawn(rng) for _ in range(design.messages)),
        )

    def truth(self, n: int, rng: np.random.Generator) -> Truth:
        """New customers of this world."""
        x = _customers(n, rng)
        design = self.design
        common = design.by_customer * self.common(x)
        kinds = design.by_kind * np.column_stack([curve(x) for curve in self.of_kinds])
        own = design.by_message * np.column_stack([curve(x) for curve in self.of_messages])
        personal = common[:, np.newaxis] + kinds[:, self.kinds] + own
        features = x
        if len(design.stages) > 1:
            stages = rng.integers(len(design.stages), size=n)
            personal = personal * np.array(design.stages)[stages, np.newaxis]
            features = np.hstack([x, stages.astype(np.float64)[:, np.newaxis]])
        effects = design.strength * (self.averages + personal)
        silence = (_RARE_EXPLAINED if design.is_rare else np.sqrt(_EXPLAINED)) * self.baseline(x)
        if design.is_rare:  # nobody spends less than nothing, with or without a message
            silence = np.maximum(silence, _RARE_LEAST)
            effects = np.maximum(silence[:, np.newaxis] + effects, _RARE_LEAST) - silence[:, np.newaxis]
        return Truth(features=features, silence=silence, effects=effects)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A function of a customer with mean 0 and standard deviation 1: mostly linear, with a step and a product."""

    slopes: FloatArray
    step_column: int
    step_at: float
    pair: tuple[int, int]
    center: float
    scale: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> "Curve":
        """A function, standardised over many customers."""
        slopes = rng.normal(size=COLUMNS) * (rng.random(COLUMNS) < 0.5)
        raw = cls(
            slopes=slopes,
            step_column=int(rng.integers(COLUMNS)),
            step_at=float(rng.normal(0.0, 0.5)),
            pair=(int(rng.integers(COLUMNS)), int(rng.integers(COLUMNS))),
            center=0.0,
            scale=1.0,
        )
        seen = raw(_customers(20_000, np.random.default_rng(0)))
        return replace(raw, center=float(seen.mean()), scale=float(seen.std()))

    def __call__(self, x: FloatArray) -> FloatArray:
        step = 1.5 * (x[:, self.step_column] > self.step_at)
        product = 0.4 * x[:, self.pair[0]] * x[:, self.pair[1]]
        return (x @ self.slopes + step + product - self.center) / self.scale


def _customers(n: int, rng: np.random.Generator) -> FloatArray:
    """Six bell curves, two flags and two long tails, all with standard deviation 1: shape (n, `COLUMNS`)."""
    bells = rng.normal(size=(n, 6))
    flags = (rng.random((n, 2)) < 0.4) * 2.0 - 0.8
    tails = np.clip(rng.gamma(1.0, 1.0, (n, 2)) - 1.0, None, 5.0)
    return np.hstack([bells, flags, tails])


def logged(world: KnownWorld, n: int, catalogue: Catalogue, seed: int) -> Dataset:
    """A log of n decisions about half as many customers."""
    rng = np.random.default_rng([seed, 2])
    truth = world.truth(n // 2, rng)
    who = np.repeat(np.arange(n // 2), 2)
    actions, probabilities = _choices(world, truth.features[who], rng)
    mean = truth.silence[who] + np.where(actions > 0, truth.effects[who, np.maximum(actions - 1, 0)], 0.0)
    known = list(messages_of(catalogue).values())
    at = pl.datetime_range(
        pl.datetime(2026, 1, 1), pl.datetime(2026, 6, 1), eager=True, time_zone="UTC", interval="1h"
    ).sample(n, with_replacement=True, seed=seed)  # fmt: skip
    return Dataset(
        decisions=pl.DataFrame(
            {
                "decision_id": [f"D{row}" for row in range(n)],
                "customer_id": [f"C{one}" for one in who],
                "decided_at": at,
            }
        ),
        customers=who.astype(np.int64),
        features=truth.features[who],
        feature_names=feature_names(world.design),
        contexts=np.column_stack([np.full(n, 7.0), rng.integers(0, 24, n), rng.integers(0, 7, n)]),
        messages=tuple(known),
        actions=actions,
        probabilities=probabilities,
        values=_outcomes(world.design, mean, rng),
    )


def feature_names(design: Design) -> tuple[str, ...]:
    """Of the columns of a truth's features."""
    return (*(f"x{place}" for place in range(COLUMNS)), *((STAGE_INDEX,) if len(design.stages) > 1 else ()))


def _outcomes(design: Design, mean: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Money in minor units with these means, in standard deviations above the usual."""
    if not design.is_rare:
        return _UNIT * (_LEVEL + mean + rng.normal(0.0, np.sqrt(1 - _EXPLAINED), len(mean)))
    spent = rng.lognormal(-0.5 * _RARE_TAIL**2, _RARE_TAIL, len(mean))  # with a mean of 1
    buys = rng.random(len(mean)) < _RARE_SHARE
    return _UNIT * np.where(buys, (_RARE_LEVEL + mean) * spent / _RARE_SHARE, 0.0)


def _choices(world: KnownWorld, x: FloatArray, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    k = world.design.messages
    chances = np.full((len(x), k + 1), 1.0 / (k + 1))
    if world.design.is_logged_by_rules:  # favoured messages differ by segment; everything stays possible
        segment = (x[:, 0] > 0).astype(int) + 2 * (x[:, 6] > 0)
        liking = np.random.default_rng(k).gamma(0.7, 1.0, (4, k + 1)) + 0.15
        chances = (liking / liking.sum(axis=1, keepdims=True))[segment]
    actions = (rng.random(len(x))[:, np.newaxis] > np.cumsum(chances, axis=1)[:, :-1]).sum(axis=1).astype(np.int64)
    return actions, chances[np.arange(len(x)), actions]


def catalogue_of(world: KnownWorld) -> Catalogue:
    """A catalogue that says of the offers what the design declares."""
    declared = world.design.declared
    kinds = [f"kind_{n}" for n in range(KINDS)] if declared != "nothing" else ["offer"]
    attributes = ", ".join(f"flag_{n}: {{kind: number}}" for n in range(5)) if declared == "attributes" else ""
    entered = [f", entry: {{fact: purchase_recency_days, at_most: {n}}}" for n in range(1, len(world.design.stages))]
    stages = ", ".join(f"{{stage: stage_{n}, goal: sales{entry}}}" for n, entry in enumerate((*entered, "")))
    lines = [_HEAD.format(kinds=", ".join(kinds), attributes=attributes, stages=stages)]
    for n, kind in enumerate(world.kinds):
        named = kinds[kind] if declared != "nothing" else "offer"
        flags = ", ".join(f"flag_{bit}: {n >> bit & 1}" for bit in range(5)) if attributes else ""
        lines.append(
            f"  offer-{n:03d}: {{goal: sales, kind: {named}, attributes: {{{flags}}},"
            " creatives: [{creative: plain, channel: email, content: {headline: Hello}}]}\n"
        )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "catalogue.yaml").write_text("".join(lines))
        return load_catalogue(Path(folder))
