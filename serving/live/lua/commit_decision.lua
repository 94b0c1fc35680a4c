-- KEYS: stream, live, book, events, household pointer, then one decision per row, then the request key if there is one
-- ARGV: now, since, record ttl (ms), version, household version, reservation (JSON, empty for none), query (JSON),
--       oldest contact, book ttl (ms), customer, answer, answer ttl (ms), number of rows, token of the customer,
--       then row, channel and ask (fields and values, JSON) of each, then fields that tell of first exposures (JSON),
--       then, where it changes, the field of what is put off and its value (empty: nothing is any more)
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
    if contact.touch then redis.call('HSET', decision, DECISION.touch, contact.touch) end
    if household then redis.call('HSET', decision, DECISION.household, household) end
    if contact.uses then
      redis.call('HSET', decision, DECISION.uses, contact.uses, DECISION.held, '1')
      if contact.until_at then redis.call('ZADD', HELD, contact.until_at, decision) end
    end
  end
end

for i = 1, rows do
  local decision, at = KEYS[5 + i], 12 + 3 * i
  local entry = redis.call('XADD', KEYS[1], '*', 'table', 'decisions', 'row', ARGV[at])
  redis.call('HSET', decision, DECISION.customer_id, ARGV[10], DECISION.channel, ARGV[at + 1])
  redis.call('HSET', decision, DECISION.decided_at, ARGV[1], DECISION.entry, entry)
  if ARGV[at + 2] ~= '' then redis.call('HSET', decision, unpack(cjson.decode(ARGV[at + 2]))) end
  redis.call('PEXPIRE', decision, ARGV[3])
end
if request then redis.call('SET', request, ARGV[11], 'PX', ARGV[12]) end

local is_first = redis.call('EXISTS', KEYS[2]) == 0
for field, value in pairs(cjson.decode(ARGV[15 + 3 * rows])) do redis.call('HSETNX', KEYS[2], field, value) end
local put_off, until_when = ARGV[16 + 3 * rows], ARGV[17 + 3 * rows]
if until_when == '' then redis.call('HDEL', KEYS[2], put_off) elseif put_off then redis.call('HSET', KEYS[2], put_off, until_when) end
if is_first then redis.call('PEXPIRE', KEYS[2], JOINED_CONTACTS_MS) end
return false
