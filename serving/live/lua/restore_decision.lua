-- KEYS: book, household pointer, decision, and the request key where the ask can be repeated
-- ARGV: now, oldest contact, book ttl (ms), token of the customer, what it takes (JSON), customer, channel,
--       ask (fields and values, JSON), decision ttl (ms, 0 to keep none), answer, answer ttl (ms), when it was decided
if was_erased(ARGV[4]) then return 0 end
local wanted = cjson.decode(ARGV[5])
local household = redis.call('GET', KEYS[2])
local missing = {}
for _, contact in ipairs(wanted.contacts) do
  if redis.call('HEXISTS', KEYS[1], contact.id) == 0 then missing[#missing + 1] = contact end
end
if #missing > 0 then
  write_contacts(KEYS[1], missing, ARGV[2], ARGV[1], ARGV[3])
  if household then write_contacts(household_book(household), missing, ARGV[2], ARGV[1], ARGV[3]) end
end
local ttl = tonumber(ARGV[9])
if ttl > 0 and redis.call('EXISTS', KEYS[3]) == 0 then
  redis.call('HSET', KEYS[3], DECISION.customer_id, ARGV[6], DECISION.channel, ARGV[7])
  redis.call('HSET', KEYS[3], DECISION.decided_at, ARGV[12])
  if ARGV[8] ~= '' then redis.call('HSET', KEYS[3], unpack(cjson.decode(ARGV[8]))) end
  if household then redis.call('HSET', KEYS[3], DECISION.household, household) end
  if wanted.touch then redis.call('HSET', KEYS[3], DECISION.touch, wanted.touch) end
  if wanted.uses then
    take(wanted)
    redis.call('HSET', KEYS[3], DECISION.uses, cjson.encode(wanted.uses), DECISION.held, '1')
  end
  redis.call('PEXPIRE', KEYS[3], ttl)
end
if KEYS[4] then redis.call('SET', KEYS[4], ARGV[10], 'NX', 'PX', ARGV[11]) end
return #missing
