#!/usr/bin/env bash
# flagsmith-flag-engine 11.1.1: a whole number compared with a decimal threshold never matches, in either direction, and
# a boolean that is true equals any word but "false".
#
# Guess: numbers are compared as numbers, so 2 is less than 2.5 and 3 is greater; true equals "true" and not "no".
# Seen: the threshold is converted to the type of the value. "2.5" is not an integer, so for 2 and 3 both "less than
# 2.5" and "greater than 2.5" fail, while 2.0 and 3.0 work; converted to a boolean, "no" and "0" are true.
# For whom it matters: segments over averages ("more than 2.5 orders a month") miss customers whose average happens to
# be a whole number, unless it is sent as a float.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
"${PYTHON:-python3}" -m venv v
v/bin/pip install -q --disable-pip-version-check flagsmith-flag-engine==11.1.1
v/bin/python - <<'PY'
from flag_engine.segments.evaluator import is_context_in_segment

def holds(value, operator, threshold):
    condition = {"property": "p", "operator": operator, "value": threshold}
    segment = {"key": "1", "name": "s", "rules": [{"type": "ALL", "conditions": [condition]}]}
    who = {"identifier": "1", "key": "1", "traits": {"p": value}}
    return is_context_in_segment({"environment": {"key": "k", "name": "e"}, "identity": who}, segment)

seen = {
    "2 < 2.5": holds(2, "LESS_THAN", "2.5"), "3 > 2.5": holds(3, "GREATER_THAN", "2.5"),
    "2.0 < 2.5": holds(2.0, "LESS_THAN", "2.5"), "3.0 > 2.5": holds(3.0, "GREATER_THAN", "2.5"),
    "2 < 3": holds(2, "LESS_THAN", "3"),
    "true = 'no'": holds(True, "EQUAL", "no"), "true = '0'": holds(True, "EQUAL", "0"),
    "true = 'false'": holds(True, "EQUAL", "false"), "false = 'no'": holds(False, "EQUAL", "no")}
for what, value in seen.items():
    print(f"{what:16} {value}")
assert list(seen.values()) == [False, False, True, True, True, True, True, False, False], seen
print("as seen on 2026-11-29")
PY
