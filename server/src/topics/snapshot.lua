-- What a topic is now: its head, its state, and its last entries.
--
-- KEYS  1 meta   2 log   3 state
-- ARGV  1 most entries   2 most bytes of entries   3 '1' writes a position down where there is none   4 its TTL ms
-- Gives {last or '', made 0|1, owner or '', closed 0|1, state JSON or '', position, tail, …}, newest entry first

local meta, log, state = KEYS[1], KEYS[2], KEYS[3]
local known = redis.call('HMGET', meta, 'last', 'made', 'owner', 'closed')
local last = known[1]
if last and not known[2] and ARGV[3] == '1' then redis.call('PEXPIRE', meta, ARGV[4]) end
if not last then
  local top = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)
  if top[1] then
    last = top[1][1]
  elseif ARGV[3] == '1' then
    -- A reader of an empty topic gets a position no other log has, so that the first event can be proven to follow it.
    local time = redis.call('TIME')
    last = string.format('%.0f-0', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
    redis.call('HSET', meta, 'last', last)
    redis.call('PEXPIRE', meta, ARGV[4])
  end
end

local stored = redis.call('GET', state)
local json = ''
if stored then json = string.sub(stored, string.find(stored, ' ', 1, true) + 1) end
local answer = { last or '', known[2] and 1 or 0, known[3] or '', known[4] and 1 or 0, json }
-- In pieces: a thousand entries of 64 KiB must not stand in the script's memory to be cut to a page afterwards.
local maxBytes, left, bytes, from = tonumber(ARGV[2]), tonumber(ARGV[1]), 0, '+'
while left > 0 do
  local piece = math.min(left, 50)
  local entries = redis.call('XREVRANGE', log, from, '-', 'COUNT', piece)
  for _, entry in ipairs(entries) do
    local tail = entry[2][4]
    bytes = bytes + #tail
    if bytes > maxBytes then return answer end
    answer[#answer + 1] = entry[1]
    answer[#answer + 1] = tail
  end
  if #entries < piece then return answer end
  left = left - piece
  from = '(' .. entries[piece][1]
end
return answer
