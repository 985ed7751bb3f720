-- Appends to one topic, atomically: idempotency, numbering, entries, state, closing, and telling who listens.
--
-- KEYS  1 meta   2 log   3 state   4 idempotency   5 idempotency-ages   6 live (channel)
-- ARGV  1 mode: create | publish | close | publish-close
--       2 entries kept   3 log TTL ms   4 meta TTL ms   5 close grace ms   6 idempotency keys kept
--       7 owner, or ''   8 '1' with a new state, else '0'   9 state JSON
--       10… pairs: entry tail, idempotency key or ''
-- Gives {'appended', last, created 0|1, position, duplicate 0|1, …}, {'closed'}, {'unknown'} or {'owned'}

local meta, log, state, idempotency, ages, live = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local mode, cap = ARGV[1], ARGV[2]
local logTtl, metaTtl, grace, maxKeys = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local owner, hasState = ARGV[7], ARGV[8] == '1'

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local known = redis.call('HMGET', meta, 'last', 'made', 'owner', 'closed')
local last, made, knownOwner, closed = known[1], known[2], known[3], known[4]

local answer = { 'appended', '', 0 }
local fresh = {}
local seen = {}
for at = 10, #ARGV, 2 do
  local key = ARGV[at + 1]
  local position = false
  if key ~= '' then
    position = redis.call('HGET', idempotency, key)
    if not position and seen[key] then position = seen[key] end
  end
  if position then
    answer[#answer + 1] = position
    answer[#answer + 1] = 1
  else
    local slot = #answer + 1
    fresh[#fresh + 1] = { tail = ARGV[at], key = key, slot = slot }
    if key ~= '' then seen[key] = slot end
    answer[slot] = ''
    answer[slot + 1] = 0
  end
end

-- A repeated last event of a closed topic is a duplicate, not a refusal: its publisher lost the answer, not the race.
local asked = (#ARGV - 9) / 2
if asked > 0 and #fresh == 0 and last then
  answer[2] = last
  return answer
end

if mode == 'create' and made then
  answer[2] = last
  return answer
end
if closed then return { 'closed' } end
if mode == 'close' and not made then return { 'unknown' } end
if owner ~= '' and knownOwner and knownOwner ~= owner then return { 'owned' } end

if not last then
  -- Evicted or expired meta over a living log: the log's own end counts, or XADD would refuse.
  local top = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)
  last = top[1] and top[1][1] or string.format('%.0f-0', now)
end
if not made then answer[3] = 1 end

local dash = string.find(last, '-', 1, true)
local ms = math.max(now, tonumber(string.sub(last, 1, dash - 1)))
local seq = tonumber(string.sub(last, dash + 1))

local lines = { 'e', last }
for _, entry in ipairs(fresh) do
  seq = seq + 1
  local position = string.format('%.0f-%.0f', ms, seq)
  redis.call('XADD', log, 'MAXLEN', '=', cap, position, 'b', last, 'e', entry.tail)
  lines[#lines + 1] = position .. ' ' .. entry.tail
  answer[entry.slot] = position
  last = position
  if entry.key ~= '' then
    redis.call('HSET', idempotency, entry.key, position)
    -- The number breaks the tie of keys used in one millisecond: the oldest must be the first to go.
    redis.call('ZADD', ages, string.format('%.0f', now * 1024 + seq % 1024), entry.key)
  end
end
-- A key that stands twice in one request was kept as the slot of its first use.
for at = 4, #answer, 2 do
  if type(answer[at]) == 'number' then answer[at] = answer[answer[at]] end
end
answer[2] = last

local closing = mode == 'close' or mode == 'publish-close'
local fields = { 'last', last, 'made', '1' }
local named = owner ~= '' and not knownOwner
if named then
  fields[#fields + 1] = 'owner'
  fields[#fields + 1] = owner
  knownOwner = owner
end
if closing then
  fields[#fields + 1] = 'closed'
  fields[#fields + 1] = string.format('%.0f', now)
end
redis.call('HSET', meta, unpack(fields))
if hasState then
  redis.call('SET', state, last .. ' ' .. ARGV[9])
  lines[#lines + 1] = '=' .. ARGV[9]
end

if redis.call('EXISTS', ages) == 1 then
  local old = redis.call('ZRANGEBYSCORE', ages, '-inf', string.format('%.0f', (now - tonumber(logTtl)) * 1024), 'LIMIT', 0, 100)
  local over = redis.call('ZCARD', ages) - #old - maxKeys
  if over > 0 then
    for _, key in ipairs(redis.call('ZRANGE', ages, #old, #old + math.min(over, 1000) - 1)) do old[#old + 1] = key end
  end
  if #old > 0 then
    redis.call('ZREM', ages, unpack(old))
    redis.call('HDEL', idempotency, unpack(old))
  end
end

-- Whoever was let in as the owner of another log of this name must not go on reading this one.
if named or not made then lines[#lines + 1] = '@' .. (knownOwner and cjson.encode(knownOwner) or '') end
if closing then
  lines[#lines + 1] = '!'
  for at = 1, 5 do redis.call('PEXPIRE', KEYS[at], grace) end
else
  redis.call('PEXPIRE', meta, metaTtl)
  for at = 2, 5 do redis.call('PEXPIRE', KEYS[at], logTtl) end
end

if #fresh > 0 or hasState or closing or named or not made then redis.call('SPUBLISH', live, table.concat(lines, '\n')) end
return answer
