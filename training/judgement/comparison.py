"""What models, and rules without a model, are worth on the same held-back decisions.

Every policy gets one term per decision whose mean is its value, so the difference of two policies is the mean of the
differences, and what both share cancels out of its error. Limits and gates are left out: this judges models, not the
policy around them. Models choose over the window they serve with; outcomes are those of each decision's own window.
What contacts cost counts, as it does in arbitration: in what models choose and in what it is worth.

`windows` asks a log with action probabilities what any choice is worth, by doubly robust estimation with one outcome
model for all policies (the mean of the models that are compared), so that none is favoured by its own predictions. A
message that was impossible for a customer counts by prediction alone; `support` says how much of the choices was tried,
and where that is little, intervals are as wide as it asks for (`training.judgement.tries`).

`steps` is for logs that rules have shaped. Nobody knows what else was possible, so a model is judged by which of the
messages that were sent it would keep, and the rules it is compared with are silence and everything that was sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from decisioning.arrays import FloatArray, IntArray
from decisioning.value_model import CONTEXT_COLUMNS, ValueModel
from training.data.datasets import Dataset
from training.data.net_worth import NetWorth
from training.judgement.gain_curve import Order
from training.judgement.tries import Tries
from training.off_policy.estimators import Estimate, mean_estimate

SILENCE_RULE = "silence"
SINGLE_RULE = "the best single message"
SENT_RULE = "everything that was sent"
LOGGED_RULE = "the log as it was drawn"
"""What was done before there was this model: what a first champion follows."""

_WINDOW = CONTEXT_COLUMNS.index("window_days")

_VALUED_AT_ONCE = 20_000
"""Cells of design matrices that are scored at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Policies on n decisions of customers that none of the models learned from.

    Attributes:
        terms: By model and rule, shape (n,).
        rules: The rules without a model, silence first; the log counts as one.
        customers: shape (n,).
        order: In which the first model would contact customers, and what that gains.
        support: Mean weight of the first model's choices: 1 where the log tried all of them.
        tries: What limits how sure a comparison can be; None where everything that is compared was done.
    """

    terms: Mapping[str, FloatArray]
    rules: tuple[str, ...]
    customers: IntArray
    order: Order
    support: float
    tries: Tries | None = None

    @property
    def decisions(self) -> int:
        """Number of decisions."""
        return len(self.customers)

    @property
    def customer_count(self) -> int:
        """Number of customers."""
        return int(np.unique(self.customers).size)

    def value(self, name: str) -> Estimate:
        """What a policy is worth per decision, in the measure's unit."""
        return mean_estimate(self.terms[name], self.customers)

    def gain(self, name: str, over: str) -> Estimate:
        """What it is worth more than another, paired."""
        gap = mean_estimate(self.terms[name] - self.terms[over], self.customers)
        return gap if self.tries is None else self.tries.widened(gap, name, over)


def judge_choices(
    dataset: Dataset, models: Mapping[str, ValueModel], constant: str, worth: NetWorth | None = None
) -> Judgement:
    """Judge free choice by models.

    Args:
        dataset: n held-back decisions with action probabilities.
        models: By name; order and support are those of the first.
        constant: The best single action as a message key, found on other customers; `silence` for none.
        worth: Of the dataset's messages; None for values as they are.
    """
    worth = worth or NetWorth.gross(len(dataset.messages))
    predicted = {name: values_of(model, dataset) for name, model in models.items()}
    expected = np.mean(list(predicted.values()), axis=0)
    rows = np.arange(dataset.size)
    residuals = dataset.values - expected[rows, dataset.actions]
    logged = worth.of_logged(dataset.values, dataset.actions, expected[:, 0].copy())
    scores = expected
    scores[rows, dataset.actions] += residuals / dataset.probabilities
    scores = worth.of_values(scores)
    served = {name: as_served(model, dataset) for name, model in models.items()}
    values = {  # what is served is what is predicted, unless the window is another
        name: worth.of_values(predicted[name] if served[name] is dataset else values_of(model, served[name]))
        for name, model in models.items()
    }

    def terms(choices: IntArray) -> FloatArray:
        return scores[rows, choices]

    keys = {key: place for place, key in enumerate(dataset.keys)}
    silence, single = np.zeros_like(dataset.actions), np.full_like(dataset.actions, keys.get(constant, 0))
    chosen = {name: one.argmax(axis=1).astype(np.int64) for name, one in values.items()}
    first = next(iter(values.values()))
    best = first[:, 1:].argmax(axis=1).astype(np.int64) + 1
    own = next(iter(chosen.values()))
    choices = {**chosen, SILENCE_RULE: silence, SINGLE_RULE: single}
    return Judgement(
        terms={name: terms(one) for name, one in choices.items()} | {LOGGED_RULE: logged},
        rules=(SILENCE_RULE, SINGLE_RULE, LOGGED_RULE),
        customers=dataset.customers,
        order=Order(
            uplifts=first[rows, best] - first[:, 0], gains=terms(best) - terms(silence), customers=dataset.customers
        ),
        support=float(((own == dataset.actions) / dataset.probabilities).mean()),
        tries=Tries(
            choices=choices,
            actions=dataset.actions,
            probabilities=dataset.probabilities,
            spread=float(residuals.std()),
            customer_count=int(np.unique(dataset.customers).size),
        ),
    )


def judge_kept(
    dataset: Dataset,
    models: Mapping[str, ValueModel],
    target: FloatArray,
    silence: FloatArray,
    worth: NetWorth | None = None,
) -> Judgement:
    """Judge which of the messages that were sent models would keep.

    Args:
        dataset: n held-back decisions, some of which sent something.
        models: By name; the order is that of the first.
        target: shape (n,), what came, as `step_effects` counts it.
        silence: shape (n,), what was to be expected of silence, by estimates that did not see the customer.
        worth: Of the dataset's messages; None for values as they are.
    """
    worth = worth or NetWorth.gross(len(dataset.messages))
    sent, nothing = dataset.actions > 0, np.zeros(dataset.size)
    left = np.where(sent, worth.of_logged(target - silence, dataset.actions, nothing), 0.0)
    uplifts = {
        name: worth.of_logged(own_uplifts(model, as_served(model, dataset)), dataset.actions, nothing)
        for name, model in models.items()
    }
    kept = {name: silence + np.where(one > 0, left, 0.0) for name, one in uplifts.items()}
    return Judgement(
        terms={**kept, SILENCE_RULE: silence, SENT_RULE: silence + left},
        rules=(SILENCE_RULE, SENT_RULE),
        customers=dataset.customers,
        order=Order(uplifts=next(iter(uplifts.values()))[sent], gains=left[sent], customers=dataset.customers[sent]),
        support=1.0,
    )


def as_served(model: ValueModel, dataset: Dataset) -> Dataset:
    """The decisions with the window that a server would ask the model for, whatever window each is evaluated in."""
    own = dataset.contexts[:, _WINDOW]
    if (own == model.window_days).all():
        return dataset
    contexts = dataset.contexts.copy()
    contexts[:, _WINDOW] = model.window_days
    return replace(dataset, contexts=contexts)


def shared_columns(model: ValueModel, dataset: Dataset) -> FloatArray:
    """Customer and context columns in a model's order: shape (n, d + c)."""
    return np.hstack([_by_name(dataset, model.layout.customer), dataset.contexts])


def values_of(model: ValueModel, dataset: Dataset) -> FloatArray:
    """What a model expects of silence and every message of a dataset: shape (n, k + 1)."""
    values = model.on(dataset.messages)
    shared = shared_columns(model, dataset)
    parts = np.split(shared, range(_VALUED_AT_ONCE, len(shared), _VALUED_AT_ONCE))
    return np.vstack([values.of_columns(part) for part in parts])


def own_uplifts(model: ValueModel, dataset: Dataset) -> FloatArray:
    """What a model says that the message which was sent adds, shape (n,); 0 for silence."""
    values = values_of(model, dataset)
    return np.take_along_axis(values, dataset.actions[:, np.newaxis], axis=1)[:, 0] - values[:, 0]


def _by_name(dataset: Dataset, wanted: tuple[str, ...]) -> FloatArray:
    """Features in a model's order; one that the dataset does not have is missing."""
    if wanted == dataset.feature_names:
        return dataset.features
    places = {name: place for place, name in enumerate(dataset.feature_names)}
    columns = np.append(dataset.features, np.full((dataset.size, 1), np.nan), axis=1)
    return columns[:, [places.get(name, -1) for name in wanted]]
