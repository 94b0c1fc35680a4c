#!/usr/bin/env bash
# causalml 0.18.0: the Qini score of a model that gives everybody the same score depends on the order of the rows.
#
# Guess: customers with equal scores count as one group, as in scikit-uplift 0.5.1, so such a model scores 0.
# Seen: rows with equal scores stay in the order in which they were given, as if that were a ranking. In a test in which
# the first half of the rows responds, qini_score gives 0.25 for a constant score, -0.25 with the rows turned round, and
# auuc_score 0.75 and 0.25. scikit-uplift's qini_auc_score gives 0 both times.
# For whom it matters: scores with few values (trees, rules, rounded scores) on data sorted by time or by outcome. Shuffle
# the rows first, or average over several shuffles.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
"${PYTHON:-python3}" -m venv v
v/bin/pip install -q --disable-pip-version-check causalml==0.18.0 scikit-uplift==0.5.1
v/bin/python - <<'PY' 2>&1 | grep -v Warning
import warnings

warnings.filterwarnings("ignore")
import numpy as np, pandas as pd
from causalml.metrics import auuc_score, qini_score
from sklift.metrics import qini_auc_score

n = 2_000
treated = np.arange(n) % 2
frame = pd.DataFrame({"model": np.zeros(n), "w": treated, "y": treated * (np.arange(n) < n / 2).astype(float)})
seen = {}
for order, rows in (("as given", frame), ("turned round", frame[::-1].reset_index(drop=True))):
    seen[order] = (
        round(float(qini_score(rows)["model"]), 2),
        round(float(auuc_score(rows)["model"]), 2),
        round(float(qini_auc_score(rows.y, rows.model, rows.w)), 2),
    )
    print(f"{order:12} causalml Qini {seen[order][0]}, AUUC {seen[order][1]}; scikit-uplift Qini {seen[order][2]}")
assert seen == {"as given": (0.25, 0.75, 0.0), "turned round": (-0.25, 0.25, 0.0)}, seen
print("as seen on 2026-11-30")
PY
