"""What happens in Redis in one atomic step, as Lua; every key of a call lies on one shard."""

from dataclasses import dataclass
from hashlib import sha1

COMMIT_DECISION = """
-- KEYS: stream, decision, and the request key where the ask can be repeated
-- ARGV: row, customer, channel, record, record ttl (ms), answer, answer ttl (ms)
if KEYS[3] then
  local held = redis.call('GET', KEYS[3])
  if held then return held end
end
redis.call('XADD', KEYS[1], '*', 'table', 'decisions', 'row', ARGV[1])
redis.call('HSET', KEYS[2], 'customer_id', ARGV[2], 'channel', ARGV[3])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[2], 'record', ARGV[4]) end
redis.call('PEXPIRE', KEYS[2], ARGV[5])
if KEYS[3] then redis.call('SET', KEYS[3], ARGV[6], 'PX', ARGV[7]) end
return false
"""
"""Log a decision, unless the same ask already has one: then give that one back and change nothing."""

TAKE_IN = """
-- KEYS: stream, then one mark per row; ARGV: table, mark ttl (ms), then one row per mark
local taken = {}
for i = 2, #KEYS do
  if redis.call('SET', KEYS[i], '1', 'NX', 'PX', ARGV[2]) then
    redis.call('XADD', KEYS[1], '*', 'table', ARGV[1], 'row', ARGV[i + 1])
    taken[i - 1] = 1
  else
    taken[i - 1] = 0
  end
end
return taken
"""
"""Append rows to the log stream, each once: 1 for a row that was new, 0 for one that was seen before."""

UNSUBSCRIBE = """
-- KEYS: live state; ARGV: time (microseconds since 1970), then channels
for i = 2, #ARGV do
  local field = 'unsubscribed:' .. ARGV[i]
  local known = redis.call('HGET', KEYS[1], field)
  if not known or tonumber(known) < tonumber(ARGV[1]) then redis.call('HSET', KEYS[1], field, ARGV[1]) end
end
return 1
"""
"""Remember that a customer left channels; the latest time stays."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua text and the digest that Redis knows it by."""

    text: str

    @property
    def digest(self) -> str:
        """SHA-1, as `EVALSHA` wants it."""
        return sha1(self.text.encode(), usedforsecurity=False).hexdigest()
