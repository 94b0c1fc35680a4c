#!/usr/bin/env bash
# feast 0.67.0 with prometheus-client 0.24.1: importing Feast switches every Prometheus counter of the program to shared
# files, for itself and for the programs it starts.
#
# Guess: importing a feature library does not affect an application's own metrics; counters of the same name in two
# registries count separately.
# Seen: `import feast` makes a temporary folder and sets PROMETHEUS_MULTIPROC_DIR in the environment. If that is
# the first import of prometheus_client, a new counter in a new registry starts at the value of another counter with the
# same name. If prometheus_client was imported before, it starts at zero.
# For whom it matters: applications created twice in one process (tests, reloads) see each other's numbers, and a child
# process inherits a folder that its parent deletes. Import prometheus_client before Feast.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
"${PYTHON:-python3}" -m venv v
v/bin/pip install -q --disable-pip-version-check feast==0.67.0 prometheus-client==0.24.1 'pandas<3'
cat > count.py <<'PY'
import importlib, os, sys
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
for name in sys.argv[1:]:
    importlib.import_module(name)
from prometheus_client import CollectorRegistry, Counter
def asks():
    return Counter("asks", "Asks", registry=CollectorRegistry())
asks().inc()
print(asks()._value.get(), "PROMETHEUS_MULTIPROC_DIR" in os.environ)
PY
run() { v/bin/python -W ignore count.py "$@" 2>/dev/null; }
alone=$(run); feast_first=$(run feast); prometheus_first=$(run prometheus_client feast)
echo "no Feast: $alone   Feast first: $feast_first   prometheus_client first: $prometheus_first"
[ "$alone" = "0.0 False" ]
[ "$feast_first" = "1.0 True" ]
[ "$prometheus_first" = "0.0 True" ]
echo "as seen on 2026-11-29"
