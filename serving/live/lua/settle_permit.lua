-- KEYS: stream, live, book, events, household pointer, decision
-- ARGV: now, since, record ttl (ms), version, household version, reservation (JSON), query (JSON), oldest contact,
--       book ttl (ms), customer, is allowed (1 or 0), answer, good until, token of the customer,
--       then table and row of each entry
if was_erased(ARGV[14]) then return 1 end
local stood = redis.call('HMGET', KEYS[6], DECISION.permit, DECISION.permit_until, DECISION.household)
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
  if contact.uses then redis.call('HSET', KEYS[6], DECISION.uses, contact.uses, DECISION.held, '1') end
  local old = redis.call('HGET', KEYS[3], contact.id)
  local fields = split(contact.value)
  if old then  -- keep what was reported
    local known = split(old)
    fields.confirmed, fields.arrived = known.confirmed, known.arrived
  end
  -- once permitted it counts until it is reported as not sent
  fields.released, fields.decided, fields.reserved = '0', ARGV[1], NO_RESERVATION
  contact.value = joined(fields)
  write_contacts(KEYS[3], {contact}, ARGV[8], ARGV[1], ARGV[9])
  if stood[3] and stood[3] ~= household then redis.call('HDEL', household_book(stood[3]), contact.id) end
  if shared then
    write_contacts(shared, {contact}, ARGV[8], ARGV[1], ARGV[9])
    redis.call('HSET', KEYS[6], DECISION.household, household)
  end
else
  mark_everywhere(KEYS[3], KEYS[5], KEYS[6], contact.id, 'release', nil)
end

redis.call('HSET', KEYS[6], DECISION.customer_id, ARGV[10], DECISION.permit, ARGV[12], DECISION.permit_until, ARGV[13])
if redis.call('PTTL', KEYS[6]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[6], ARGV[3]) end
for i = 15, #ARGV, 2 do redis.call('XADD', KEYS[1], '*', 'table', ARGV[i], 'row', ARGV[i + 1]) end
return false
