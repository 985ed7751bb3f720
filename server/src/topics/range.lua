-- A page of a log.
--
-- KEYS  1 meta   2 log
-- ARGV  1 after, or ''   2 before, or ''   3 most entries   4 '1' newest first   5 most bytes
-- Gives {last or '', made 0|1, owner or '', closed 0|1, complete 0|1, position, tail, …}

local meta, log = KEYS[1], KEYS[2]
local limit, newestFirst, maxBytes = tonumber(ARGV[3]), ARGV[4] == '1', tonumber(ARGV[5])
local known = redis.call('HMGET', meta, 'last', 'made', 'owner', 'closed')
local last = known[1]
if not last then
  local top = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)
  if top[1] then last = top[1][1] end
end

local answer = { last or '', known[2] and 1 or 0, known[3] or '', known[4] and 1 or 0, 1 }
-- Nothing stands before 0-0, and Redis takes it for no end of a range.
if string.find(ARGV[2], '^0+%-0+$') then return answer end

local from = ARGV[1] == '' and '-' or '(' .. ARGV[1]
local to = ARGV[2] == '' and '+' or '(' .. ARGV[2]
-- In pieces: a thousand entries of 64 KiB must not stand in the script's memory to be cut to a page afterwards.
local piece, taken, bytes = 50, 0, 0
while true do
  local entries
  if newestFirst then
    entries = redis.call('XREVRANGE', log, to, from, 'COUNT', piece)
  else
    entries = redis.call('XRANGE', log, from, to, 'COUNT', piece)
  end
  for _, entry in ipairs(entries) do
    local tail = entry[2][4]
    bytes = bytes + #tail
    if taken == limit or (taken > 0 and bytes > maxBytes) then
      answer[5] = 0
      return answer
    end
    taken = taken + 1
    answer[#answer + 1] = entry[1]
    answer[#answer + 1] = tail
  end
  if #entries < piece then return answer end
  if newestFirst then to = '(' .. entries[piece][1] else from = '(' .. entries[piece][1] end
end
