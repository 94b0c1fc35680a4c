#!/usr/bin/env bash
# lightgbm 4.7.0: a booster in JSON (`dump_model`, `trees_to_dataframe`) differs from the one that predicts.
#
# Guess: the JSON, which many converters and explainers read, has the thresholds that `predict` uses; they have 17
# digits, so walking the tree gives the same leaf.
# Seen: a split that only separates missing from known values has the threshold infinity, in memory and in
# `model_to_string`. The JSON says 1e+300. So a known value of infinity, or of 1e301, goes left with the known values in
# `predict`, and right with the missing ones in the JSON. A threshold of minus infinity becomes -1e+300 in the same way.
# For whom it matters: the logarithm of this month's spending over last month's is infinite for customers who spent
# nothing then; scores and explanations made from the JSON treat these customers as unknown.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
"${PYTHON:-python3}" -m venv v
v/bin/pip install -q --disable-pip-version-check lightgbm==4.7.0
v/bin/python - <<'PY'
import math
import lightgbm
import numpy as np

rng = np.random.default_rng(0)
change = rng.normal(0.0, 1.0, (2000, 1))
change[rng.random(2000) < 0.5] = np.nan
worth = np.where(np.isnan(change[:, 0]), 0.0, 10.0)
settings = {"objective": "regression", "num_leaves": 2, "learning_rate": 1.0, "verbosity": -1, "num_threads": 1}
booster = lightgbm.train(settings, lightgbm.Dataset(change, worth), num_boost_round=1)

def walked(node, value):
    """The leaf that the documented fields of the JSON lead to."""
    while "leaf_value" not in node:
        assert (node["decision_type"], node["missing_type"]) == ("<=", "NaN")
        left = node["default_left"] if math.isnan(value) else value <= node["threshold"]
        node = node["left_child" if left else "right_child"]
    return node["leaf_value"]

tree = booster.dump_model()["tree_info"][0]["tree_structure"]
text = [line for line in booster.model_to_string().splitlines() if line.startswith("threshold=")]
values = [0.3, 1e299, 1e301, math.inf, math.nan]
predicted = [round(float(one), 6) for one in booster.predict(np.array(values)[:, np.newaxis])]
from_json = [round(walked(tree, value), 6) for value in values]
print("text:", *text, " JSON:", tree["threshold"])
print("change     ", values)
print("predict    ", predicted)
print("from JSON  ", from_json)
assert text == ["threshold=inf"] and tree["threshold"] == 1e300
assert predicted == [10.0, 10.0, 10.0, 10.0, 0.0]
assert from_json == [10.0, 10.0, 0.0, 0.0, 0.0]
print("as seen on 2026-11-30")
PY
