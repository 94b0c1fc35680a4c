-- What every script knows: whose state this Redis holds, and who was erased.

local function mark_of_state()
  return redis.call('GET', STATE)
end

local function was_erased(token)
  return redis.call('SISMEMBER', ERASED, token) == 1
end
