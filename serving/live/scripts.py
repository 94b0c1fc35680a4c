"""What happens in Redis in one atomic step, as Lua.

A contact in a book is text of fixed places, so that a script can turn its flags without parsing it (Lua counts from 1):

    1      confirmed by what came back: `0` or `1`
    2      released: `0` or `1`
    3      ghost: `0` or `1`
    4-19   when it was decided, or permitted (microseconds since 1970)
    20-35  end of the reservation, zeros where there is none
    36-51  when it was delivered, nines where nobody said
    52-    its touch (JSON)

What holds a part of a counter is in the decision's own hash: `uses` (JSON by counter) and whether it is `held`. It is
held exactly while the contact counts, so whatever order reports arrive in, the counters end alike.
"""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha1

from features.online.redis_keys import (
    COUNTER_PREFIX,
    ERASED_KEY,
    EVIDENCE_KEY,
    HELD_KEY,
    PRICES_KEY,
    SHARD_COUNT,
    STATE_KEY,
)

MOST_CONTACTS = 512
"""Contacts that a book holds at most; the oldest go first."""

MOST_EVENTS = 200
"""Events of one type that recent behaviour keeps, the newest, unless a rule counts further."""

MOST_CASES_AND_RESPONSES = 512
"""Cases, due messages and responses of one customer that are kept at most, the newest."""

JOINED_CONTACTS_MS = 400 * 86_400_000
"""How long a book is kept after contacts of a visitor were joined into it, and who had but a first exposure."""

NEVER_DELIVERED = "9" * 16
NO_RESERVATION = "0" * 16

_NAMES = f"""
local COUNTER, HELD = '{COUNTER_PREFIX}', '{HELD_KEY}'
local PRICES, EVIDENCE = '{PRICES_KEY}', '{EVIDENCE_KEY}'
local NO_RESERVATION = '{NO_RESERVATION}'

local function mark_of_state()
  return redis.call('GET', '{STATE_KEY}')
end

local function was_erased(token)
  return redis.call('SISMEMBER', '{ERASED_KEY}', token) == 1
end
"""

READING = (
    _NAMES
    + f"""
local function household_book(id)
  local sum = 0
  for i = 1, #id do sum = sum + string.byte(id, i) end
  return string.format('nb:{{%02d}}:hb:%s', sum % {SHARD_COUNT}, id)
end

local function state_of(live, book, events, pointer, since)
  local household = redis.call('GET', pointer)
  return {{
    redis.call('HGETALL', live),
    redis.call('HGETALL', book),
    redis.call('ZRANGEBYSCORE', events, since, '+inf', 'WITHSCORES'),
    household,
    household and redis.call('HGETALL', household_book(household)) or {{}},
  }}
end
"""
)

COUNTING = """
local function add(counter, amount)
  -- INCRBYFLOAT within a script corrupts the heap of some 6.2 servers
  local used = tonumber(redis.call('GET', COUNTER .. counter) or '0') + amount
  redis.call('SET', COUNTER .. counter, string.format('%.14g', used), 'KEEPTTL')
end

local function take(wanted)
  for counter, amount in pairs(wanted.uses) do
    add(counter, amount)
    if wanted.ttls[counter] then redis.call('PEXPIRE', COUNTER .. counter, wanted.ttls[counter]) end
  end
end

local function put_back(counter, amount)
  local used = redis.call('GET', COUNTER .. counter)
  if not used then return end  -- its period is long over
  if tonumber(used) <= amount then
    redis.call('SET', COUNTER .. counter, '0', 'KEEPTTL')
  else
    add(counter, -amount)
  end
end

local function held_uses(decision)
  local fields = redis.call('HMGET', decision, 'uses', 'held')
  if not fields[1] then return nil, false end
  return cjson.decode(fields[1]), fields[2] == '1'
end

local function hold(decision)
  local uses, is_held = held_uses(decision)
  if not uses or is_held then return end
  for counter, amount in pairs(uses) do
    if redis.call('EXISTS', COUNTER .. counter) == 1 then add(counter, amount) end
  end
  redis.call('HSET', decision, 'held', '1')
end

local function give_back(decision)
  redis.call('ZREM', HELD, decision)
  local uses, is_held = held_uses(decision)
  if not is_held then return end
  for counter, amount in pairs(uses) do put_back(counter, amount) end
  redis.call('HSET', decision, 'held', '0')
end

local function sweep(now)
  for _, decision in ipairs(redis.call('ZRANGEBYSCORE', HELD, '-inf', now, 'LIMIT', 0, 64)) do give_back(decision) end
end

local function supply_of(query)
  local used, evidence = {}, {}
  if #query.counters > 0 then
    local keys = {}
    for i, counter in ipairs(query.counters) do keys[i] = COUNTER .. counter end
    used = redis.call('MGET', unpack(keys))
  end
  if query.evidence then evidence = redis.call('HGETALL', EVIDENCE) end
  return {query.counters, used, redis.call('HGETALL', PRICES), evidence}
end

local function is_full(uses, ceilings, own)
  for counter, amount in pairs(uses) do
    local ceiling = ceilings[counter]
    if ceiling then
      local used = tonumber(redis.call('GET', COUNTER .. counter) or '0') - (own and own[counter] or 0)
      if used + amount > ceiling + 1e-9 * math.max(1, math.abs(ceiling)) then return true end
    end
  end
  return false
end
"""

BOOKKEEPING = f"""
local function version_of(book)
  return redis.call('HGET', book, 'version') or '0'
end

local function bump(book)
  -- beyond anything a reader may still hold, even if the book was forgotten in between
  local time = redis.call('TIME')
  local now, old = time[1] * 1000000 + time[2], tonumber(version_of(book))
  if now <= old then now = old + 1 end
  redis.call('HSET', book, 'version', string.format('%.0f', now))
end

local function tidy(book, oldest, now)
  local all, kept = redis.call('HGETALL', book), {{}}
  for i = 1, #all, 2 do
    local value = all[i + 1]
    if all[i] ~= 'version' then
      if string.sub(value, 4, 19) < oldest and string.sub(value, 20, 35) < now then
        redis.call('HDEL', book, all[i])
      else
        kept[#kept + 1] = string.sub(value, 4, 19) .. all[i]
      end
    end
  end
  if #kept <= {MOST_CONTACTS} then return end
  table.sort(kept)
  for i = 1, #kept - {MOST_CONTACTS} do redis.call('HDEL', book, string.sub(kept[i], 17)) end
end

local function write_contacts(book, contacts, oldest, now, keep_ms)
  local before = redis.call('HLEN', book)
  for _, contact in ipairs(contacts) do redis.call('HSET', book, contact.id, contact.value) end
  local after = redis.call('HLEN', book)
  if math.floor(before / 16) ~= math.floor(after / 16) then tidy(book, oldest, now) end
  bump(book)
  redis.call('PEXPIRE', book, keep_ms)
end

local function mark(book, id, word, delivered)
  local old = redis.call('HGET', book, id)
  if not old then return nil end
  local confirmed, released = string.sub(old, 1, 1), string.sub(old, 2, 2)
  local arrived = string.sub(old, 36, 51)
  if word == 'release' then released = '1' else confirmed = '1' end
  if delivered and delivered < arrived then arrived = delivered end
  local new = confirmed .. released .. string.sub(old, 3, 35) .. arrived .. string.sub(old, 52)
  if new ~= old then
    redis.call('HSET', book, id, new)
    bump(book)
  end
  return new
end

local function mark_everywhere(book, pointer, decision, id, word, delivered)
  local new = mark(book, id, word, delivered)
  local household = redis.call('HGET', decision, 'household') or redis.call('GET', pointer)
  if household then mark(household_book(household), id, word, delivered) end
  if not new then return end
  local confirmed, released = string.sub(new, 1, 1), string.sub(new, 2, 2)
  if confirmed == '1' or released == '0' then hold(decision) else give_back(decision) end
  if confirmed == '1' then redis.call('ZREM', HELD, decision) end
end
"""

READ = (
    READING
    + """
-- KEYS: features, profile, live, book, events, household pointer, and the request key where the ask can be repeated
-- ARGV: since when recent behaviour is wanted
local values = redis.call('MGET', KEYS[1], KEYS[2], KEYS[7] or KEYS[1])
return {
  values[1],
  values[2],
  KEYS[7] and values[3] or false,
  state_of(KEYS[3], KEYS[4], KEYS[5], KEYS[6], ARGV[1]),
  mark_of_state(),
}
"""
)
"""Everything about one customer, the household's book included."""

READ_SUPPLY = (
    _NAMES
    + COUNTING
    + """
-- ARGV: now, query (JSON)
sweep(ARGV[1])
return supply_of(cjson.decode(ARGV[2]))
"""
)
"""What all customers share; reservations that ran out give their part back first."""

COMMIT_DECISION = (
    READING
    + COUNTING
    + BOOKKEEPING
    + f"""
local FORGOTTEN_MS = {JOINED_CONTACTS_MS}
"""
    + """
-- KEYS: stream, live, book, events, household pointer, then one decision per row, then the request key if there is one
-- ARGV: now, since, record ttl (ms), version, household version, reservation (JSON, empty for none), query (JSON),
--       oldest contact, book ttl (ms), customer, answer, answer ttl (ms), number of rows, token of the customer,
--       then row, channel and record of each, then fields that tell of first exposures (JSON)
if was_erased(ARGV[14]) then return 1 end
local rows = tonumber(ARGV[13])
local request = KEYS[6 + rows]
if request then
  local held = redis.call('GET', request)
  if held then return held end
end

local household
if ARGV[6] ~= '' then
  local wanted = cjson.decode(ARGV[6])
  household = redis.call('GET', KEYS[5])
  local shared = household and household_book(household)
  local is_beaten = version_of(KEYS[3]) ~= ARGV[4] or (shared and version_of(shared) or '0') ~= ARGV[5]
  if not is_beaten and next(wanted.uses) then
    sweep(ARGV[1])
    is_beaten = is_full(wanted.uses, wanted.ceilings)
  end
  if is_beaten then
    return {state_of(KEYS[2], KEYS[3], KEYS[4], KEYS[5], ARGV[2]), supply_of(cjson.decode(ARGV[7])), mark_of_state()}
  end
  write_contacts(KEYS[3], wanted.contacts, ARGV[8], ARGV[1], ARGV[9])
  if shared then write_contacts(shared, wanted.contacts, ARGV[8], ARGV[1], ARGV[9]) end
  take(wanted)
  for offer, count in pairs(wanted.evidence) do redis.call('HINCRBY', EVIDENCE, offer, count) end
  for _, contact in ipairs(wanted.contacts) do
    local decision = KEYS[5 + contact.place]
    if contact.touch then redis.call('HSET', decision, 'touch', contact.touch) end
    if household then redis.call('HSET', decision, 'household', household) end
    if contact.uses then
      redis.call('HSET', decision, 'uses', contact.uses, 'held', '1')
      if contact.until_at then redis.call('ZADD', HELD, contact.until_at, decision) end
    end
  end
end

for i = 1, rows do
  local decision, at = KEYS[5 + i], 12 + 3 * i
  redis.call('XADD', KEYS[1], '*', 'table', 'decisions', 'row', ARGV[at])
  redis.call('HSET', decision, 'customer_id', ARGV[10], 'channel', ARGV[at + 1], 'decided_at', ARGV[1])
  if ARGV[at + 2] ~= '' then redis.call('HSET', decision, 'record', ARGV[at + 2]) end
  if i > 1 then redis.call('HSET', decision, 'first', KEYS[6]) end
  redis.call('PEXPIRE', decision, ARGV[3])
end
if request then redis.call('SET', request, ARGV[11], 'PX', ARGV[12]) end

local is_first = redis.call('EXISTS', KEYS[2]) == 0
for field, value in pairs(cjson.decode(ARGV[15 + 3 * rows])) do redis.call('HSETNX', KEYS[2], field, value) end
if is_first then redis.call('PEXPIRE', KEYS[2], FORGOTTEN_MS) end
return false
"""
)
"""Log a decision with its contacts, unless the same ask already has one (give that one back) or the book or the
counters moved on since they were read (give back what they are now); then change nothing. 1 where the customer was
erased: nothing about them is written."""

READ_PERMIT = (
    READING
    + COUNTING
    + """
-- KEYS: decision; ARGV: tag of its shard, since, now, query (JSON)
local of = redis.call('HMGET', KEYS[1], 'customer_id', 'record', 'first', 'permit', 'permit_until', 'uses', 'held')
if not of[1] then return false end
local function at(kind) return ARGV[1] .. ':' .. kind .. ':' .. of[1] end
sweep(ARGV[3])
return {
  of[1],
  of[2] or (of[3] and redis.call('HGET', of[3], 'record')),
  of[4] and of[5] >= ARGV[3] and of[4],
  of[6] and redis.call('HGET', KEYS[1], 'held') == '1' and of[6],
  redis.call('GET', at('f')),
  redis.call('GET', at('c')),
  state_of(at('s'), at('b'), at('e'), at('h'), ARGV[2]),
  supply_of(cjson.decode(ARGV[4])),
  mark_of_state(),
}
"""
)
"""A decision with everything about its customer now, and the permit answer that still stands."""

SETTLE_PERMIT = (
    READING
    + COUNTING
    + BOOKKEEPING
    + """
-- KEYS: stream, live, book, events, household pointer, decision
-- ARGV: now, since, record ttl (ms), version, household version, reservation (JSON), query (JSON), oldest contact,
--       book ttl (ms), customer, is allowed (1 or 0), answer, good until, token of the customer,
--       then table and row of each entry
if was_erased(ARGV[14]) then return 1 end
local stood = redis.call('HMGET', KEYS[6], 'permit', 'permit_until', 'household')
if stood[1] and stood[2] >= ARGV[1] then return stood[1] end
local wanted = cjson.decode(ARGV[6])
local contact = wanted.contacts[1]
local household = redis.call('GET', KEYS[5])
local shared = household and household_book(household)

if ARGV[11] == '1' then
  sweep(ARGV[1])
  local uses, is_held = held_uses(KEYS[6])
  local is_beaten = version_of(KEYS[3]) ~= ARGV[4] or (shared and version_of(shared) or '0') ~= ARGV[5]
  if is_beaten or is_full(wanted.uses, wanted.ceilings, is_held and uses) then
    return {state_of(KEYS[2], KEYS[3], KEYS[4], KEYS[5], ARGV[2]), supply_of(cjson.decode(ARGV[7])), mark_of_state()}
  end
  give_back(KEYS[6])
  take(wanted)
  if contact.uses then redis.call('HSET', KEYS[6], 'uses', contact.uses, 'held', '1') end
  local old = redis.call('HGET', KEYS[3], contact.id)
  if old then  -- what came back stays known
    contact.value = string.sub(old, 1, 1) .. string.sub(contact.value, 2, 35) .. string.sub(old, 36, 51)
      .. string.sub(contact.value, 52)
  end
  -- with leave it counts until it is reported as not sent
  contact.value = string.sub(contact.value, 1, 1) .. '0' .. string.sub(contact.value, 3, 3) .. ARGV[1]
    .. NO_RESERVATION .. string.sub(contact.value, 36)
  write_contacts(KEYS[3], {contact}, ARGV[8], ARGV[1], ARGV[9])
  if stood[3] and stood[3] ~= household then redis.call('HDEL', household_book(stood[3]), contact.id) end
  if shared then
    write_contacts(shared, {contact}, ARGV[8], ARGV[1], ARGV[9])
    redis.call('HSET', KEYS[6], 'household', household)
  end
else
  mark_everywhere(KEYS[3], KEYS[5], KEYS[6], contact.id, 'release', nil)
end

redis.call('HSET', KEYS[6], 'customer_id', ARGV[10], 'permit', ARGV[12], 'permit_until', ARGV[13])
if redis.call('PTTL', KEYS[6]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[6], ARGV[3]) end
for i = 15, #ARGV, 2 do redis.call('XADD', KEYS[1], '*', 'table', ARGV[i], 'row', ARGV[i + 1]) end
return false
"""
)
"""Write what a permit was answered, and confirm or release its contact with it; an answer that still stands is given
back instead, and state that moved on likewise; 1 where the customer was erased."""

TAKE_IN = (
    READING
    + COUNTING
    + BOOKKEEPING
    + f"""
-- KEYS: stream, mark, live, book, events, household pointer, features, decision
-- ARGV: table, mark ttl (ms), row (empty where the log has it), changes (JSON), oldest event that is recent, now,
--       token of the customer, digest of the report ('1' where nobody knows it)
if was_erased(ARGV[7]) then return 0 end
local mark = redis.call('GET', KEYS[2])
if not mark then redis.call('SET', KEYS[2], ARGV[8], 'PX', ARGV[2]) end
if ARGV[3] ~= '' then
  if mark == ARGV[8] then return 0 end
  if mark then return mark == '1' and 3 or 2 end
  redis.call('XADD', KEYS[1], '*', 'table', ARGV[1], 'row', ARGV[3])
end
local changes = cjson.decode(ARGV[4])

for _, pair in ipairs(changes.greatest) do
  local known = redis.call('HGET', KEYS[3], pair[1])
  if not known or known < pair[2] then redis.call('HSET', KEYS[3], pair[1], pair[2]) end
  if pair[1] == 'profiling' and string.sub(redis.call('HGET', KEYS[3], 'profiling'), 17) == '1' then
    redis.call('DEL', KEYS[7])
  end
end
if #changes.greatest > 0 then redis.call('PERSIST', KEYS[3]) end
if #changes.greatest > 0 and redis.call('HLEN', KEYS[3]) > {MOST_CASES_AND_RESPONSES} then
  local all, found = redis.call('HGETALL', KEYS[3]), {{}}
  for i = 1, #all, 2 do
    local kind = string.match(all[i], '^(%a+):')
    if kind == 'opened' or kind == 'resolved' or kind == 'due' or kind == 'response' then
      found[#found + 1] = all[i + 1] .. all[i]
      found[found[#found]] = all[i]
    end
  end
  table.sort(found)
  for i = 1, #found - {MOST_CASES_AND_RESPONSES} do redis.call('HDEL', KEYS[3], found[found[i]]) end
end

if changes.event then
  redis.call('ZADD', KEYS[5], changes.event[1], changes.event[2])
  redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', '(' .. ARGV[5])
  if redis.call('ZCARD', KEYS[5]) > changes.keeps then
    local own, name = {{}}, string.sub(changes.event[2], 1, string.find(changes.event[2], '\0', 1, true))
    for _, event in ipairs(redis.call('ZRANGE', KEYS[5], 0, -1)) do
      if string.sub(event, 1, #name) == name then own[#own + 1] = event end
    end
    for i = 1, #own - changes.keeps do redis.call('ZREM', KEYS[5], own[i]) end
  end
  redis.call('PEXPIRE', KEYS[5], 90000000)
end

if changes.contacts then
  local missing = {{}}
  for _, one in ipairs(changes.contacts) do
    if redis.call('HEXISTS', KEYS[4], one.id) == 0 then missing[#missing + 1] = one end
  end
  local household = redis.call('GET', KEYS[6])
  if #missing > 0 then write_contacts(KEYS[4], missing, '0', ARGV[6], {JOINED_CONTACTS_MS}) end
  if #missing > 0 and household then
    write_contacts(household_book(household), missing, '0', ARGV[6], {JOINED_CONTACTS_MS})
  end
end

local contact = changes.contact
if contact then mark_everywhere(KEYS[4], KEYS[6], KEYS[8], contact[1], contact[2], contact[3]) end
return 1
"""
)
"""Take one report in: its row in the log, the mark that it was seen and what it changes. Answers 1; 0 where it was seen
before, and where its customer was erased; 2 where another was seen under its identity, and 3 where nobody knows what
that one said. What the log has already changes state again, which comes to the same."""

ERASE = (
    READING
    + COUNTING
    + BOOKKEEPING
    + """
-- KEYS: decisions of an erased customer; ARGV: household books (as many as there are), then their contact ids
for _, decision in ipairs(KEYS) do
  if redis.call('ZSCORE', HELD, decision) then give_back(decision) end
  redis.call('DEL', decision)
end
local books = tonumber(ARGV[1])
for i = 2, 1 + books do
  local removed = 0
  for j = 2 + books, #ARGV do removed = removed + redis.call('HDEL', ARGV[i], ARGV[j]) end
  if removed > 0 then bump(ARGV[i]) end
end
return 0
"""
)
"""Forget decisions: what they still held is free again, and their contacts leave the books of households."""


@dataclass(frozen=True)
class Script:
    """A Lua text and the digest that Redis knows it by."""

    text: str

    @cached_property
    def digest(self) -> str:
        """SHA-1, as `EVALSHA` wants it."""
        return sha1(self.text.encode(), usedforsecurity=False).hexdigest()
