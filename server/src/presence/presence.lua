-- Who is there, in one topic: prolongs, ends and lists leases, and tells who joined and who left.
--
-- KEYS  1 hash: 'c' .. connection -> user; 'u' .. user -> '<connections> <since> <info JSON>'
--       2 zset: connection -> end of its lease, ms since 1970   3 live (channel)
-- ARGV  1 hold | leave | list   2 lease ms   3 connections at most
--       hold:  4… fours: connection, user, since ms, info JSON or ''
--       leave: 4… connections
-- Gives {ms until the next lease ends or -1}; list: followed by user, connections, since, info JSON or '', …
--
-- Whatever is asked, leases whose time is over end first. What is told is the difference between before and after, so
-- that each change is told once, by whichever instance comes first.

local members, leases, live = KEYS[1], KEYS[2], KEYS[3]
local lease, max = tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local touched, byId = {}, {}
local function userOf(id)
  local user = byId[id]
  if user then return user end
  user = { id = id, count = 0, since = 0, info = '' }
  local stored = redis.call('HGET', members, 'u' .. id)
  if stored then
    local count, since, info = string.match(stored, '^(%d+) (%d+) (.*)$')
    user.count, user.since, user.info = tonumber(count), tonumber(since), info
  end
  user.before = user.count
  byId[id] = user
  touched[#touched + 1] = user
  return user
end

local function remove(connection)
  redis.call('ZREM', leases, connection)
  local id = redis.call('HGET', members, 'c' .. connection)
  if not id then return end
  redis.call('HDEL', members, 'c' .. connection)
  local user = userOf(id)
  user.count = math.max(0, user.count - 1)
end

local function hold(connection, id, since, info)
  local known = redis.call('HGET', members, 'c' .. connection)
  if known and known ~= id then
    remove(connection)
    known = false
  end
  if not known then
    if redis.call('ZCARD', leases) >= max then return end
    redis.call('HSET', members, 'c' .. connection, id)
    local user = userOf(id)
    if user.count == 0 or since < user.since then user.since = since end
    if user.count == 0 or info ~= '' then user.info = info end
    user.count = user.count + 1
  end
  redis.call('ZADD', leases, now + lease, connection)
end

for _, connection in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now)) do remove(connection) end
if ARGV[1] == 'hold' then
  for at = 4, #ARGV, 4 do hold(ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3]) end
  -- Longer than a lease: whoever ends the last one must still find whose it was.
  if #ARGV > 3 then
    redis.call('PEXPIRE', members, 2 * lease)
    redis.call('PEXPIRE', leases, 2 * lease)
  end
elseif ARGV[1] == 'leave' then
  for at = 4, #ARGV do remove(ARGV[at]) end
end

local function json(user)
  local text = string.format('{"userId":%s,"connections":%.0f,"since":%.0f', cjson.encode(user.id), user.count, user.since)
  return text .. (user.info == '' and '}' or ',"info":' .. user.info .. '}')
end

local joined, left = {}, {}
for _, user in ipairs(touched) do
  if user.count > 0 then
    redis.call('HSET', members, 'u' .. user.id, string.format('%.0f %.0f ', user.count, user.since) .. user.info)
    if user.before == 0 then joined[#joined + 1] = json(user) end
  else
    redis.call('HDEL', members, 'u' .. user.id)
    if user.before > 0 then left[#left + 1] = json(user) end
  end
end
if #joined + #left > 0 then
  local change = '{"joined":[' .. table.concat(joined, ',') .. '],"left":[' .. table.concat(left, ',') .. ']}'
  redis.call('SPUBLISH', live, 'p\n' .. change)
end

local first = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')
local answer = { first[2] and tonumber(first[2]) - now or -1 }
if ARGV[1] == 'list' then
  local fields = redis.call('HGETALL', members)
  for at = 1, #fields, 2 do
    if string.sub(fields[at], 1, 1) == 'u' then
      local count, since, info = string.match(fields[at + 1], '^(%d+) (%d+) (.*)$')
      answer[#answer + 1] = string.sub(fields[at], 2)
      answer[#answer + 1] = tonumber(count)
      answer[#answer + 1] = tonumber(since)
      answer[#answer + 1] = info
    end
  end
end
return answer
