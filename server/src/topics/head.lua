-- What is known of a topic besides its entries. A position that only readers hold lives on while they ask.
--
-- KEYS  1 meta   2 log
-- ARGV  1 TTL ms of a position that only readers hold
-- Gives {last or '', made 0|1, owner or '', closed 0|1}

local known = redis.call('HMGET', KEYS[1], 'last', 'made', 'owner', 'closed')
local last = known[1]
if last and not known[2] then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
if not last then
  local top = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
  if top[1] then last = top[1][1] end
end
return { last or '', known[2] and 1 or 0, known[3] or '', known[4] and 1 or 0 }
