#!/usr/bin/env bash
# narwhals 2.29.0: one expression gives different numbers on Polars 2.1.0, DuckDB 2.0.0 and PyArrow 25.0.1 if a column
# holds a NaN or a half. No backend raises an error.
#
# Guess: the same expression means the same everywhere, as it does for null, which all three treat alike.
# Seen: NaN > 1 is true on Polars and DuckDB and false on PyArrow; the largest of [0.5, NaN, 2.5] is NaN on DuckDB and
# 2.5 elsewhere; clipping NaN to at most 1 gives 1 on DuckDB and PyArrow; the median skips NaN on PyArrow only; 0.5 and
# 2.5 round to even on Polars and away from zero on the others.
# For whom it matters: features defined once and computed on two engines. Turn NaN into null first, and round once, at
# the end.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
"${PYTHON:-python3}" -m venv v
v/bin/pip install -q --disable-pip-version-check narwhals==2.29.0 polars==2.1.0 duckdb==2.0.0 pyarrow==25.0.1
v/bin/python - <<'PY'
import duckdb, narwhals as nw, polars as pl

frame = pl.DataFrame({"x": [0.5, 1.5, float("nan"), 2.5, None]})
arrow = frame.to_arrow()
backends = {"polars": frame.lazy(), "duckdb": duckdb.sql("select * from arrow"), "pyarrow": arrow}
x = nw.col("x")
expressions = {"x > 1": x > 1, "max": x.max(), "clip to 1": x.clip(0, 1), "median": x.median(), "round": x.round(0)}

def values(native, expression):
    result = nw.from_native(native).select(expression.alias("r"))
    result = result.collect() if isinstance(result, nw.LazyFrame) else result
    return " ".join(str(value) for value in result["r"].to_list())

seen = {name: [values(native, e) for native in backends.values()] for name, e in expressions.items()}
for name, row in seen.items():
    print(f"{name:10}", *(f"{backend}: {value};" for backend, value in zip(backends, row)))
assert seen == {
    "x > 1": ["False True True True None", "False True True True None", "False True False True None"],
    "max": ["2.5", "nan", "2.5"],
    "clip to 1": ["0.5 1.0 nan 1.0 None", "0.5 1.0 1.0 1.0 None", "0.5 1.0 1.0 1.0 None"],
    "median": ["2.0", "2.0", "1.5"],
    "round": ["0.0 2.0 nan 2.0 None", "1.0 2.0 nan 3.0 None", "1.0 2.0 nan 3.0 None"],
}, seen
print("as seen on 2026-11-29")
PY
