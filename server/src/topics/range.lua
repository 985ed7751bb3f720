-- A page of a log.
--
-- KEYS  1 meta   2 log
-- ARGV  1 after, or ''   2 before, or ''   3 most entries   4 '1' newest first   5 most bytes
-- Gives {last or '', made 0|1, owner or '', closed 0|1, complete 0|1, position, tail, …}

local meta, log = KEYS[1], KEYS[2]
local from = ARGV[1] == '' and '-' or '(' .. ARGV[1]
local to = ARGV[2] == '' and '+' or '(' .. ARGV[2]
local limit, maxBytes = tonumber(ARGV[3]), tonumber(ARGV[5])
local known = redis.call('HMGET', meta, 'last', 'made', 'owner', 'closed')
local entries
if ARGV[4] == '1' then
  entries = redis.call('XREVRANGE', log, to, from, 'COUNT', limit + 1)
else
  entries = redis.call('XRANGE', log, from, to, 'COUNT', limit + 1)
end

local answer = { known[1] or '', known[2] and 1 or 0, known[3] or '', known[4] and 1 or 0, 1 }
local bytes = 0
for at, entry in ipairs(entries) do
  local tail = entry[2][4]
  bytes = bytes + #tail
  if at > limit or (at > 1 and bytes > maxBytes) then
    answer[5] = 0
    break
  end
  answer[#answer + 1] = entry[1]
  answer[#answer + 1] = tail
end
return answer
