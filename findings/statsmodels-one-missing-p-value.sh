#!/usr/bin/env bash
# statsmodels 0.15.0: one missing p-value among several breaks `multipletests`, each method differently.
#
# Guess: either an error, or the missing one is ignored in correcting the others.
# Seen: Holm and Bonferroni count it as a third test (0.01 becomes 0.03) and correct the rest; Benjamini-Hochberg makes
# every corrected p-value NaN and yet still rejects the first; Hommel rejects nothing at all.
# For whom it matters: one metric of an experiment that cannot be computed (no variance, an empty arm) changes or erases
# the verdict on all others. Remove missing p-values before correcting.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
"${PYTHON:-python3}" -m venv v
v/bin/pip install -q --disable-pip-version-check statsmodels==0.15.0
v/bin/python - <<'PY'
import numpy as np
from statsmodels.stats.multitest import multipletests

seen = {}
for method in ("holm", "bonferroni", "fdr_bh", "hommel"):
    for name, values in (("whole", [0.01, 0.04]), ("one missing", [0.01, 0.04, np.nan])):
        rejected, corrected = multipletests(values, method=method)[:2]
        seen[method, name] = ([bool(r) for r in rejected], [round(float(p), 4) for p in corrected])
        print(f"{method:11} {name:12} {seen[method, name]}")

def same(key, rejected, corrected):
    assert seen[key][0] == rejected and np.allclose(seen[key][1], corrected, equal_nan=True), (key, seen[key])

nan = np.nan
same(("holm", "whole"), [True, True], [0.02, 0.04])
same(("holm", "one missing"), [True, False, False], [0.03, 0.08, nan])
same(("bonferroni", "one missing"), [True, False, False], [0.03, 0.12, nan])
same(("fdr_bh", "whole"), [True, True], [0.02, 0.04])
same(("fdr_bh", "one missing"), [True, False, False], [nan, nan, nan])
same(("hommel", "whole"), [True, True], [0.02, 0.04])
same(("hommel", "one missing"), [False, False, False], [nan, nan, nan])
print("as seen on 2026-11-29")
PY
