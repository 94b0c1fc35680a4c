-- A customer's live state, with the book of contacts of the household.

local function household_book(id)
  local sum = 0
  for i = 1, #id do sum = sum + string.byte(id, i) end
  return string.format(HOUSEHOLD_BOOK, sum % SHARDS, id)
end

local function state_of(live, book, events, pointer, since)
  local household = redis.call('GET', pointer)
  return {
    redis.call('HGETALL', live),
    redis.call('HGETALL', book),
    redis.call('ZRANGEBYSCORE', events, since, '+inf', 'WITHSCORES'),
    household,
    household and redis.call('HGETALL', household_book(household)) or {},
  }
end
