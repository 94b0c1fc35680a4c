#!/usr/bin/env bash
# fastavro 1.13.1 writes the text "false" into a boolean field as true, and 2.7 into an int field as 2, without an
# error.
#
# Guess: a TypeError, as for a number in a string field, text in an int field or a float in a decimal.
# Seen: a boolean field accepts any truthy value; an int field truncates a float. `validator=True` refuses both records.
# For whom it matters: consent exported as text ("false", "no", "0") becomes a yes in the exported file.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
"${PYTHON:-python3}" -m venv v
v/bin/pip install -q --disable-pip-version-check fastavro==1.13.1
v/bin/python - <<'PY'
import io
import fastavro

def stored(kind, value, **options):
    schema = {"type": "record", "name": "customer", "fields": [{"name": "x", "type": kind}]}
    file = io.BytesIO()
    fastavro.writer(file, schema, [{"x": value}], **options)
    file.seek(0)
    return next(fastavro.reader(file))["x"]

def refused(*args, **options):
    try:
        return f"stored {stored(*args, **options)}"
    except Exception as error:
        return type(error).__name__

seen = {
    "boolean from 'false'": stored("boolean", "false"),
    "boolean from '0'": stored("boolean", "0"),
    "int from 2.7": stored("int", 2.7),
    "int from '3'": refused("int", "3"),
    "string from 3": refused("string", 3),
    "boolean from 'false', validated": refused("boolean", "false", validator=True),
    "int from 2.7, validated": refused("int", 2.7, validator=True),
}
for what, value in seen.items():
    print(f"{what:32} {value}")
assert list(seen.values()) == [True, True, 2, "TypeError", "TypeError", "ValidationError", "ValidationError"], seen
print("as seen on 2026-11-29")
PY
