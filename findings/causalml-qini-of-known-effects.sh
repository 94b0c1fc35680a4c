#!/usr/bin/env bash
# causalml 0.18.0: the Qini score from known effects depends on who was treated, though the truth does not.
#
# Guess: with treatment_effect_col, as simulations have it, the score is a function of scores and effects alone; the
# documentation asks for no other column then.
# Seen: without a treatment column get_qini raises KeyError, while get_cumgain works. With one, each cumulative mean effect
# is multiplied by the number of treated customers so far: the same scores and effects give a Qini score of 87.4 where half
# are treated and 16.2 where a tenth is. auuc_score gives 0.79 both times.
# For whom it matters: comparing learners over simulated designs with different shares of treated. Take auuc_score there.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
"${PYTHON:-python3}" -m venv v
v/bin/pip install -q --disable-pip-version-check causalml==0.18.0
v/bin/python - <<'PY' 2>&1 | grep -v Warning
import warnings

warnings.filterwarnings("ignore")
import numpy as np, pandas as pd
from causalml.metrics import auuc_score, get_cumgain, get_qini, qini_score

rng, n = np.random.default_rng(1), 2_000
score = rng.normal(size=n)
known = pd.DataFrame({"model": score, "tau": 0.3 + 0.3 * score})
print("get_cumgain from scores and effects:", round(float(get_cumgain(known)["model"].iloc[-1]), 1))
try:
    get_qini(known)
    raised = "nothing"
except KeyError as error:
    raised = f"KeyError {error}"
print("get_qini from the same raises", raised)
seen = {}
for share in (0.5, 0.1):
    rows = known.assign(y=0.0, w=(np.random.default_rng(2).random(n) < share).astype(int))
    seen[share] = (
        round(float(qini_score(rows, normalize=False)["model"]), 1),
        round(float(auuc_score(rows)["model"]), 2),
    )
    print(f"{share:.0%} treated: Qini {seen[share][0]}, AUUC {seen[share][1]}")
assert raised == "KeyError 'w'", raised
assert seen == {0.5: (87.4, 0.79), 0.1: (16.2, 0.79)}, seen
print("as seen on 2026-11-30")
PY
