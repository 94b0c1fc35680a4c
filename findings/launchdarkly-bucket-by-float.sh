#!/usr/bin/env bash
# launchdarkly-server-sdk 9.20.0 (Python): a rollout by an attribute that holds a float puts everybody into the first
# variation, even if the float is a whole number.
#
# Guess: 17.0 is bucketed like 17, since JSON does not distinguish the two.
# Seen: 1,000 integers, or the same numbers as text, spread evenly over two variations; as floats all get the first one,
# without an error, as if the attribute were missing.
# For whom it matters: account numbers become floats in a data frame with a missing value in the column, and
# the 50/50 test becomes 100/0 for them. Check for a sample-ratio mismatch before reading the result.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
"${PYTHON:-python3}" -m venv v
v/bin/pip install -q --disable-pip-version-check launchdarkly-server-sdk==9.20.0
cat > flags.json <<'JSON'
{"flags": {"f": {"key": "f", "on": true, "version": 1, "salt": "s", "variations": ["a", "b"], "offVariation": 0,
 "fallthrough": {"rollout": {"bucketBy": "account", "variations": [{"variation": 0, "weight": 50000},
                                                                    {"variation": 1, "weight": 50000}]}}}}}
JSON
v/bin/python - <<'PY'
from collections import Counter
import ldclient
from ldclient.config import Config
from ldclient.integrations import Files

source = Files.new_data_source(paths=["flags.json"])
client = ldclient.LDClient(Config("offline", update_processor_class=source, send_events=False))

def counts(kind):
    contexts = (ldclient.Context.builder(f"k-{n}").set("account", kind(n)).build() for n in range(1000))
    return Counter(client.variation("f", context, None) for context in contexts)

whole, text, floats = counts(int), counts(str), counts(float)
client.close()
print("integers", dict(whole), "text", dict(text), "floats", dict(floats))
assert whole == text and 450 < whole["a"] < 550
assert floats == {"a": 1000}
print("as seen on 2026-11-29")
PY
