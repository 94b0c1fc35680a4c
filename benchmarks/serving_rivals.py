"""Servers that `serve.py` compares with, as factories for uvicorn.

`plain_app` is the simplest build: FastAPI with Feast's `get_online_features` and `Booster.predict`. It scores one row
per message and checks nothing. `bare_app` is Nextbest without gates and without a log: its HTTP, its read and its
scorer, and the best value wins.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def plain_app() -> object:
    """FastAPI, Feast's online read, and the booster."""
    import lightgbm
    from fastapi import FastAPI
    from feast import FeatureStore
    from pydantic import BaseModel
    from serving_world import message_columns

    home = Path(os.environ["BENCH_HOME"])
    told = json.loads((home / "rivals.json").read_text())
    store = FeatureStore(repo_path=str(home / "feast"))
    wanted = [f"all:{name}" for name in told["names"]]
    booster = lightgbm.Booster(model_file=str(home / "models" / "1-bench" / "booster.txt"))
    messages = message_columns(int(os.environ["BENCH_MESSAGES"]), told["columns"], len(wanted))
    app = FastAPI()

    class Ask(BaseModel):
        customer_id: str
        touchpoint: str

    @app.post("/v1/decisions")
    async def decide(ask: Ask) -> dict[str, object]:
        row = store.get_online_features(features=wanted, entity_rows=[{"customer_id": ask.customer_id}]).to_dict()
        features = np.array([row[name][0] for name in told["names"]], dtype=float)
        matrix = np.hstack([np.broadcast_to(features, (len(messages), len(features))), messages])
        values = booster.predict(matrix, num_threads=1)
        return {"offer": int(np.argmax(values)), "value": float(np.max(values))}

    return app


def bare_app() -> object:
    """Nextbest's own parts without gates and log."""
    from features.settings import Settings
    from serving.http.app import create_app

    app = create_app(Settings(), owns_process=True)
    app.state.engine.decisions = _Bare(app.state.engine)
    return app


class _Bare:
    """Replaces the decision path: reads, scores, and takes the best."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    async def answer_many(self, asks: Sequence[Any], *, now: Any, **_: Any) -> list[Mapping[str, Any]]:
        """The best message for each ask."""
        from serving.decisions.known import inputs_of

        in_force, moment = self._engine.refresher.current(), now()
        supply = in_force.supply.query(moment)
        known = await self._engine.state.read_people([ask.lookup(supply) for ask in asks])
        return [self._best(in_force, inputs) for inputs, _ in inputs_of(in_force, asks, known, [moment] * len(asks))]

    def _best(self, in_force: Any, inputs: Any) -> Mapping[str, Any]:
        best = int(np.argmax(inputs.expected_values))
        messages = in_force.policy.candidates(inputs.request.touchpoint_id)
        return {
            "message": messages[best - 1].key if best else "silence",
            "value": float(inputs.expected_values[best]),
            "replayed": False,
            "degraded": False,
        }
