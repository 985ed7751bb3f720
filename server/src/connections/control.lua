-- Says that an instance lives, and passes a message to all that do.
--
-- KEYS  1 zset: instance -> until when it counts as alive, ms since 1970   2 live (channel)
-- ARGV  1 instance   2 lease ms   3 message, or ''
-- Gives {receivers of the message on this node, instance, …}

local instances = KEYS[1]
local lease = tonumber(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

redis.call('ZADD', instances, now + lease, ARGV[1])
redis.call('ZREMRANGEBYSCORE', instances, '-inf', now)
redis.call('PEXPIRE', instances, lease)

local answer = { 0 }
if ARGV[3] ~= '' then answer[1] = redis.call('SPUBLISH', KEYS[2], ARGV[3]) end
for _, instance in ipairs(redis.call('ZRANGE', instances, 0, -1)) do answer[#answer + 1] = instance end
return answer
