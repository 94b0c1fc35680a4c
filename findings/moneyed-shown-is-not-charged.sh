#!/usr/bin/env bash
# py-moneyed 3.0: the amount shown to a customer and the amount charged in minor units can differ.
#
# Guess: both round the same way, or fractions of a cent are refused.
# Seen: text is rounded to the nearest cent, half to even; `get_amount_in_sub_unit` truncates to whole cents.
# 10.999 EUR is shown as 11.00 and is 1099 cents; 10.9 JPY is shown as 11 and is 10. A third of 100 EUR, three times, is
# 9999 cents. The class does not support `round()`.
# For whom it matters: prices after a percentage discount. Round to whole minor units once, before showing anything.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
"${PYTHON:-python3}" -m venv v
v/bin/pip install -q --disable-pip-version-check py-moneyed==3.0 babel==2.19.0
v/bin/python - <<'PY'
from moneyed import Money, format_money

def both(money):
    return format_money(money, locale="en_US"), money.get_amount_in_sub_unit()

seen = [both(Money("10.999", "EUR")), both(Money("10.005", "EUR")), both(Money("10.9", "JPY"))]
thirds = 3 * (Money(100, "EUR") / 3).get_amount_in_sub_unit()
print(seen, thirds)
assert [value for _, value in seen] == [1099, 1000, 10] and thirds == 9999
assert ["".join(c for c in text if c.isdigit() or c == ".") for text, _ in seen] == ["11.00", "10.00", "11"]
try:
    round(Money("10.005", "EUR"), 2)
except TypeError as error:
    print("round():", error)
else:
    raise SystemExit("round() works now")
print("as seen on 2026-11-29")
PY
