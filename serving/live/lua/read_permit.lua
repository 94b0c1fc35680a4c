-- KEYS: decision; ARGV: tag of its shard, since, now, query (JSON)
local of = redis.call(
  'HMGET', KEYS[1], DECISION.customer_id, DECISION.touchpoint, DECISION.message, DECISION.ask, DECISION.channel,
  DECISION.permit, DECISION.permit_until, DECISION.uses
)
if not of[1] then return false end
local function at(kind) return ARGV[1] .. ':' .. kind .. ':' .. of[1] end
sweep(ARGV[3])
return {
  of[1],
  of[2],
  of[3],
  of[4],
  of[5],
  of[6] and of[7] >= ARGV[3] and of[6],
  of[8] and redis.call('HGET', KEYS[1], DECISION.held) == '1' and of[8],
  redis.call('GET', at('f')),
  redis.call('GET', at('c')),
  state_of(at('s'), at('b'), at('e'), at('h'), ARGV[2]),
  supply_of(cjson.decode(ARGV[4])),
  mark_of_state(),
}
