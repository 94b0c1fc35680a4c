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
  if pair[1] == PROFILING and string.sub(redis.call('HGET', KEYS[3], PROFILING), TIME_DIGITS + 1) == '1' then
    redis.call('DEL', KEYS[7])
  end
end
if #changes.greatest > 0 then redis.call('PERSIST', KEYS[3]) end
if #changes.greatest > 0 and redis.call('HLEN', KEYS[3]) > MOST_BOUNDED then
  local all, found = redis.call('HGETALL', KEYS[3]), {}
  for i = 1, #all, 2 do
    local kind = string.match(all[i], '^(%a+):')
    if BOUNDED[kind] then
      found[#found + 1] = all[i + 1] .. all[i]
      found[found[#found]] = all[i]
    end
  end
  table.sort(found)
  for i = 1, #found - MOST_BOUNDED do redis.call('HDEL', KEYS[3], found[found[i]]) end
end

if changes.event then
  redis.call('ZADD', KEYS[5], changes.event[1], changes.event[2])
  redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', '(' .. ARGV[5])
  if redis.call('ZCARD', KEYS[5]) > changes.keeps then
    local own, name = {}, string.sub(changes.event[2], 1, string.find(changes.event[2], AFTER_TYPE, 1, true))
    for _, event in ipairs(redis.call('ZRANGE', KEYS[5], 0, -1)) do
      if string.sub(event, 1, #name) == name then own[#own + 1] = event end
    end
    for i = 1, #own - changes.keeps do redis.call('ZREM', KEYS[5], own[i]) end
  end
  redis.call('PEXPIRE', KEYS[5], RECENT_MS)
end

if changes.contacts then
  local missing = {}
  for _, one in ipairs(changes.contacts) do
    if redis.call('HEXISTS', KEYS[4], one.id) == 0 then missing[#missing + 1] = one end
  end
  local household = redis.call('GET', KEYS[6])
  if #missing > 0 then write_contacts(KEYS[4], missing, '0', ARGV[6], JOINED_CONTACTS_MS) end
  if #missing > 0 and household then
    write_contacts(household_book(household), missing, '0', ARGV[6], JOINED_CONTACTS_MS)
  end
end

local contact = changes.contact
if contact then mark_everywhere(KEYS[4], KEYS[6], KEYS[8], contact[1], contact[2], contact[3]) end
return 1
