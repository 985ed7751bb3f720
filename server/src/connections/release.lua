-- Ends leases of one user's connections.
--
-- KEYS  as acquire.lua
-- ARGV  connection, …
-- Gives how many there were

local ended = 0
for _, id in ipairs(ARGV) do
  ended = ended + redis.call('ZREM', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
  redis.call('ZREM', KEYS[3], id)
end
return ended
