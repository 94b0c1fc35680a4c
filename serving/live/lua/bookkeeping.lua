-- Books of contacts: their versions, their contacts, and the flags that reports turn.

local function version_of(book)
  return redis.call('HGET', book, VERSION) or '0'
end

local function bump(book)
  -- beyond anything a reader may still hold, even if the book was forgotten in between
  local time = redis.call('TIME')
  local now, old = time[1] * 1000000 + time[2], tonumber(version_of(book))
  if now <= old then now = old + 1 end
  redis.call('HSET', book, VERSION, string.format('%.0f', now))
end

local function tidy(book, oldest, now)
  local all, kept = redis.call('HGETALL', book), {}
  for i = 1, #all, 2 do
    local value = all[i + 1]
    if all[i] ~= VERSION then
      if field(value, 'decided') < oldest and field(value, 'reserved') < now then
        redis.call('HDEL', book, all[i])
      else
        kept[#kept + 1] = field(value, 'decided') .. all[i]
      end
    end
  end
  if #kept <= MOST_CONTACTS then return end
  table.sort(kept)
  for i = 1, #kept - MOST_CONTACTS do redis.call('HDEL', book, string.sub(kept[i], TIME_DIGITS + 1)) end
end

local function write_contacts(book, contacts, oldest, now, keep_ms)
  local before = redis.call('HLEN', book)
  for _, contact in ipairs(contacts) do redis.call('HSET', book, contact.id, contact.value) end
  local after = redis.call('HLEN', book)
  if math.floor(before / 16) ~= math.floor(after / 16) then tidy(book, oldest, now) end
  bump(book)
  redis.call('PEXPIRE', book, keep_ms)
end

local function mark(book, id, word, delivered)
  local old = redis.call('HGET', book, id)
  if not old then return nil end
  local contact = split(old)
  if word == 'release' then contact.released = '1' else contact.confirmed = '1' end
  if delivered and delivered < contact.arrived then contact.arrived = delivered end
  local new = joined(contact)
  if new ~= old then
    redis.call('HSET', book, id, new)
    bump(book)
  end
  return new
end

local function mark_everywhere(book, pointer, decision, id, word, delivered)
  local new = mark(book, id, word, delivered)
  local household = redis.call('HGET', decision, DECISION.household) or redis.call('GET', pointer)
  if household then mark(household_book(household), id, word, delivered) end
  if not new then return end
  local contact = split(new)
  if contact.confirmed == '1' or contact.released == '0' then hold(decision) else give_back(decision) end
  if contact.confirmed == '1' then redis.call('ZREM', HELD, decision) end
end
