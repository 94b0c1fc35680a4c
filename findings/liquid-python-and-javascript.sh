#!/usr/bin/env bash
# python-liquid 2.3.6 and liquidjs 10.30.1 render the same template differently, without an error.
#
# Guess: two renderers of one language agree on arithmetic and on iterating over a map.
# Seen: 5 divided by 2 is 2 in Python and 2.5 in JavaScript; a loop over a map prints Python's tuple "('silver', 3)" in
# Python and "silver3" in JavaScript; a time with an offset is shown in its own zone by Python and in the server's by
# JavaScript, so the day differs; `first` of a word is empty in Python and its first letter in JavaScript; replacing an
# empty string also puts the replacement at both ends in Python.
# For whom it matters: templates that a marketer previews in the browser and that are sent from a Python server.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
"${PYTHON:-python3}" -m venv v
v/bin/pip install -q --disable-pip-version-check python-liquid==2.3.6
npm install --silent --no-fund --no-audit --prefix . liquidjs@10.30.1 >/dev/null
cat > templates.json <<'JSON'
["{{ 5 | divided_by: 2 }}", "{% for tier in tiers %}{{ tier }}{% endfor %}",
 "{{ '2026-03-01T23:30:00-05:00' | date: '%d %H:%M' }}", "{{ 'abc' | first }}", "{{ 'ab' | replace: '', '-' }}"]
JSON
cat > render.py <<'PY'
import json
from liquid import Environment
print(json.dumps([Environment().from_string(t).render(tiers={"silver": 3}) for t in json.load(open("templates.json"))]))
PY
cat > render.js <<'JS'
const { Liquid } = require("liquidjs");
const render = (t) => new Liquid().parseAndRenderSync(t, { tiers: { silver: 3 } });
console.log(JSON.stringify(JSON.parse(require("fs").readFileSync("templates.json")).map(render)));
JS
export TZ=UTC
python_says=$(v/bin/python render.py); javascript_says=$(node render.js)
echo "python      $python_says"
echo "javascript  $javascript_says"
[ "$python_says" = '["2", "('"'silver'"', 3)", "01 23:30", "", "-a-b-"]' ]
[ "$javascript_says" = '["2.5","silver3","02 04:30","a","a-b"]' ]
echo "as seen on 2026-11-29"
