-- Gives one connection of a user a lease, or refuses it, or makes room by evicting the oldest.
--
-- KEYS  1 zset: connection -> end of its lease, ms since 1970
--       2 zset: connection -> since when, ms since 1970
--       3 zset: evicted connection -> until when that is remembered
-- ARGV  1 connection   2 since ms   3 lease ms   4 limit   5 reject | evict
-- Gives {1, evicted connection, …} or {0, ms until the first lease ends}

local leases, ages, evicted = KEYS[1], KEYS[2], KEYS[3]
local id, since, lease, limit = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- What a killed instance left behind counts no longer.
for _, old in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now)) do
  redis.call('ZREM', leases, old)
  redis.call('ZREM', ages, old)
end

local victims = {}
-- One that is there already asks again because its answer was lost.
if not redis.call('ZSCORE', leases, id) then
  local count = redis.call('ZCARD', leases)
  if count >= limit then
    if ARGV[5] ~= 'evict' then
      return { 0, tonumber(redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')[2]) - now }
    end
    victims = redis.call('ZRANGE', ages, 0, count - limit)
    for _, victim in ipairs(victims) do
      redis.call('ZREM', leases, victim)
      redis.call('ZREM', ages, victim)
      -- Its instance may miss the message; then it learns here, when it refreshes.
      redis.call('ZADD', evicted, now + 2 * lease, victim)
    end
    redis.call('PEXPIRE', evicted, 2 * lease)
  end
end

redis.call('ZADD', leases, now + lease, id)
redis.call('ZADD', ages, since, id)
redis.call('PEXPIRE', leases, lease)
redis.call('PEXPIRE', ages, lease)
local answer = { 1 }
for _, victim in ipairs(victims) do answer[#answer + 1] = victim end
return answer
