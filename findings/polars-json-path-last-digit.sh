#!/usr/bin/env bash
# polars 2.1.0: a number read out of JSON text by `json_path_match` is not always the number in the text.
#
# Guess: the text of the number is returned unchanged, so casting it gives the same float as `json.loads`.
# Seen: the number is parsed and written again, and sometimes the last digit changes: 1.3835130129009485 becomes
# 1.3835130129009483. It happens to several of 2,000 random numbers with 17 digits. `json_decode` into Float64 and
# casting the bare text both give the exact number.
# For whom it matters: features that must be the same number in batch and online, if one of them is computed from a JSON
# column. Thresholds and hashes over such values may differ.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
"${PYTHON:-python3}" -m venv v
v/bin/pip install -q --disable-pip-version-check polars==2.1.0
v/bin/python - <<'PY'
import json, random
import polars as pl

draw = random.Random(7)
texts = ["1.3835130129009485", *(repr(draw.uniform(0, 10)) for _ in range(2000))]
documents = pl.Series([f'{{"a": {text}}}' for text in texts])
true = [json.loads(text) for text in texts]
matched = documents.str.json_path_match("$.a").cast(pl.Float64).to_list()
decoded = documents.str.json_decode(pl.Struct({"a": pl.Float64})).struct.field("a").to_list()
cast = pl.Series(texts).cast(pl.Float64).to_list()

def wrong(values):
    return sum(value != exact for value, exact in zip(values, true))

print("first number by json_path_match:", matched[0])
print("of 2,001 numbers wrong: json_path_match", wrong(matched), "json_decode", wrong(decoded), "cast of text", wrong(cast))
assert matched[0] == 1.3835130129009483
assert wrong(matched) > 1 and wrong(cast) == 0 and wrong(decoded) == 0
print("as seen on 2026-11-29")
PY
