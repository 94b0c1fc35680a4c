"""What the champion's values cost for one decision: matrix, learned function, and both with calibration.

python benchmarks/scoring.py [--home .nextbest] [--candidates 40]
"""

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from decisioning.scoring import FeatureVector
from decisioning.value_model import score
from features.catalogue import load_catalogue
from features.models.bundle import load_value_model
from features.models.registry import fetch_champion
from features.settings import Settings
from training.data.datasets import messages_of

ROUNDS = 2_000


def microseconds(call: Callable[[], object]) -> tuple[float, float]:
    """Median and 99th percentile."""
    taken: list[float] = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        taken.append((time.perf_counter() - start) * 1e6)
    return float(np.median(taken)), float(np.quantile(taken, 0.99))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".nextbest"))
    parser.add_argument("--candidates", type=int, default=40)
    given = parser.parse_args()
    settings = Settings(home=given.home)
    champion = fetch_champion(settings)
    model = load_value_model(champion.folder, version=champion.version)
    known = messages_of(load_catalogue(settings.catalogue_path)).values()
    messages = model.messages(list(islice(cycle(known), given.candidates)))
    names = model.layout.customer
    values = np.random.default_rng(1).gamma(2.0, 5.0, len(names))
    features = FeatureVector(names=names, values=values, ages_seconds={}, schema=model.feature_schema)
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    design = model.design(messages, features, now)
    print(f"{given.candidates} candidates, {design.shape[1]} columns, {len(model.calibrator.reference)} references")
    for name, call in (
        ("design matrix", lambda: model.design(messages, features, now)),
        ("learned function", lambda: model.predict(design)),
        ("all of it", lambda: score(model, messages, features, now)),
    ):
        median, slow = microseconds(call)
        print(f"{name:<18} p50 {median:7.1f} us   p99 {slow:7.1f} us")


if __name__ == "__main__":
    main()
