#!/usr/bin/env bash
# amplitude-experiment 1.13.0 (Python) and @amplitude/experiment-core 0.13.6 (JavaScript), two local evaluators of the
# same vendor, give different answers for the same flag and customer.
#
# Guess: a condition "purchases less than 3" holds for a customer with 0 purchases, as it does for one with 1.
# Seen: Python treats 0, 0.0 and false as missing, so "less than 3" and "is 0" do not hold for 0, "is not 0" does, and
# so does "is (none)". JavaScript compares the zero. A whole number stored as a float becomes the text "30.0" in Python
# and "30" in JavaScript, so "is 30" differs too.
# For whom it matters: customers without purchases, and customers who said no, are missing from a server-side audience
# that the browser includes them in.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
"${PYTHON:-python3}" -m venv v
v/bin/pip install -q --disable-pip-version-check amplitude-experiment==1.13.0
npm install --silent --no-fund --no-audit --prefix . @amplitude/experiment-core@0.13.6 >/dev/null

cat > flag.json <<'JSON'
[["less", ["3"], 1], ["less", ["3"], 0], ["is", ["0"], 0], ["is not", ["0"], 0], ["is", ["(none)"], 0],
 ["is", ["false"], false], ["is", ["true"], true], ["is", ["30"], 30.0]]
JSON
cat > run.py <<'PY'
import json
from amplitude_experiment.evaluation.engine import EvaluationEngine
from amplitude_experiment.evaluation.types import EvaluationFlag

def answer(op, values, value):
    where = ["context", "user", "user_properties", "p"]
    flag = EvaluationFlag.from_dict({
        "key": "f", "variants": {"on": {"key": "on"}, "off": {"key": "off"}},
        "segments": [{"conditions": [[{"selector": where, "op": op, "values": values}]], "variant": "on"},
                     {"variant": "off"}]})
    return EvaluationEngine().evaluate({"user": {"user_properties": {"p": value}}}, [flag])["f"].key

print(*(answer(*case) for case in json.load(open("flag.json"))))
PY
cat > run.js <<'JS'
const { EvaluationEngine } = require("@amplitude/experiment-core");
const selector = ["context", "user", "user_properties", "p"];
const answer = ([op, values, p]) => new EvaluationEngine().evaluate({ user: { user_properties: { p } } }, [{
  key: "f", variants: { on: { key: "on" }, off: { key: "off" } },
  segments: [{ conditions: [[{ selector, op, values }]], variant: "on" }, { variant: "off" }] }]).f.key;
console.log(JSON.parse(require("fs").readFileSync("flag.json")).map(answer).join(" "));
JS
python_says=$(v/bin/python run.py); javascript_says=$(node run.js)
echo "python      $python_says"
echo "javascript  $javascript_says"
[ "$python_says" = "on off off on on off on off" ]
[ "$javascript_says" = "on on on off off on on on" ]
echo "as seen on 2026-11-29"
