-- A contact is text of fixed places, `PLACES` and their `ORDER`, so that its flags are turned without parsing it.

local function field(contact, name)
  return string.sub(contact, PLACES[name][1], PLACES[name][2])
end

local function split(contact)
  local fields = {}
  for _, name in ipairs(ORDER) do fields[name] = field(contact, name) end
  return fields
end

local function joined(fields)
  local parts = {}
  for i, name in ipairs(ORDER) do parts[i] = fields[name] end
  return table.concat(parts)
end
