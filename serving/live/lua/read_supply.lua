-- ARGV: now, query (JSON)
sweep(ARGV[1])
return supply_of(cjson.decode(ARGV[2]))
