-- Prolongs the leases of one user's connections on one instance.
--
-- KEYS  as acquire.lua
-- ARGV  1 lease ms   2… pairs: connection, since ms
-- Gives the connections that were evicted meanwhile
--
-- A lease that is gone is given again, over the limit if need be: Redis lost it, the connection did nothing wrong.

local leases, ages, evicted = KEYS[1], KEYS[2], KEYS[3]
local lease = tonumber(ARGV[1])

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

redis.call('ZREMRANGEBYSCORE', evicted, '-inf', now)
local gone = {}
for at = 2, #ARGV, 2 do
  if redis.call('ZSCORE', evicted, ARGV[at]) then
    gone[#gone + 1] = ARGV[at]
  else
    redis.call('ZADD', leases, now + lease, ARGV[at])
    redis.call('ZADD', ages, ARGV[at + 1], ARGV[at])
  end
end
redis.call('PEXPIRE', leases, lease)
redis.call('PEXPIRE', ages, lease)
return gone
