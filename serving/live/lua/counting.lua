-- What all customers share: taken, given back, held by reservations, swept when they run out.

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
  local fields = redis.call('HMGET', decision, DECISION.uses, DECISION.held)
  if not fields[1] then return nil, false end
  return cjson.decode(fields[1]), fields[2] == '1'
end

local function hold(decision)
  local uses, is_held = held_uses(decision)
  if not uses or is_held then return end
  for counter, amount in pairs(uses) do
    if redis.call('EXISTS', COUNTER .. counter) == 1 then add(counter, amount) end
  end
  redis.call('HSET', decision, DECISION.held, '1')
end

local function give_back(decision)
  redis.call('ZREM', HELD, decision)
  local uses, is_held = held_uses(decision)
  if not is_held then return end
  for counter, amount in pairs(uses) do put_back(counter, amount) end
  redis.call('HSET', decision, DECISION.held, '0')
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
