#!/usr/bin/env bash
# croniter 7.0.0: a daily send at half past two is due twice on the night the clocks go back.
#
# Guess: once a day, as cron itself does for jobs with a fixed hour; and on the night the clocks go forward, once.
# Seen: in Berlin "30 2 * * *" is due at 02:30 summer time and again at 02:30 winter time on 25 October 2026; on
# 29 March 2026, when 02:30 does not exist, it is due at 03:00.
# For whom it matters: a campaign scheduled by its next run goes out to everybody twice. Store the date of the last run.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
"${PYTHON:-python3}" -m venv v
v/bin/pip install -q --disable-pip-version-check croniter==7.0.0 tzdata==2026.6
v/bin/python - <<'PY'
from datetime import datetime
from zoneinfo import ZoneInfo
from croniter import croniter

def due(after, n):
    schedule = croniter("30 2 * * *", after.replace(tzinfo=ZoneInfo("Europe/Berlin")))
    return [schedule.get_next(datetime).isoformat() for _ in range(n)]

autumn, spring = due(datetime(2026, 10, 24, 12), 3), due(datetime(2026, 3, 28, 12), 2)
print(autumn, spring, sep="\n")
assert autumn == ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-26T02:30:00+01:00"]
assert spring == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
print("as seen on 2026-11-29")
PY
