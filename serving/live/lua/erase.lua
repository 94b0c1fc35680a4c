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
