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
