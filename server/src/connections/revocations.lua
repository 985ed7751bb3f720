-- Writes marks of what was revoked, and reads those that came since.
--
-- KEYS  1 zset: mark -> when it came here, ms since 1970. A mark is the JSON array [userId | null, sessionId | null, at]
-- ARGV  1 TTL ms   2 marks kept   3 read from when on, or '' for no reading   4 marks read at most
--       5… pairs: userId and sessionId as JSON with a comma between, at (ms) or '' for now
-- Gives {now, mark, came, …}

local key = KEYS[1]
local ttl = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local stamp = string.format('%.0f', now)

for at = 5, #ARGV, 2 do
  local mark = '[' .. ARGV[at] .. ',' .. (ARGV[at + 1] == '' and stamp or ARGV[at + 1]) .. ']'
  redis.call('ZADD', key, 'NX', stamp, mark)
end
if #ARGV > 4 then
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - ttl)
  redis.call('ZREMRANGEBYRANK', key, 0, -1 - tonumber(ARGV[2]))
  redis.call('PEXPIRE', key, ttl)
end

local answer = { now }
if ARGV[3] ~= '' then
  local marks = redis.call('ZRANGEBYSCORE', key, ARGV[3], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[4])
  for _, value in ipairs(marks) do answer[#answer + 1] = value end
end
return answer
