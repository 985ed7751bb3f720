-- Reads what follows a position, if it can be proven that it follows: the next entry names it as the position before,
-- or it is the log's end.
--
-- KEYS  1 meta   2 log
-- ARGV  1 position   2 most entries   3 most bytes
-- Gives {'proven', last, closed 0|1, position, tail, …} or {'unproven', last or '', oldest position or ''}

local meta, log, after = KEYS[1], KEYS[2], ARGV[1]
local maxBytes = tonumber(ARGV[3])
local known = redis.call('HMGET', meta, 'last', 'closed')
local last = known[1]
local entries = redis.call('XRANGE', log, '(' .. after, '+', 'COUNT', ARGV[2])
if not last and #entries > 0 then last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1][1] end

if last == after then return { 'proven', last, known[2] and 1 or 0 } end
local first = entries[1]
if not last or not first or first[2][2] ~= after then
  local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
  return { 'unproven', last or '', oldest and oldest[1] or '' }
end

local answer = { 'proven', last, known[2] and 1 or 0 }
local bytes = 0
for at, entry in ipairs(entries) do
  local tail = entry[2][4]
  bytes = bytes + #tail
  if at > 1 and bytes > maxBytes then break end
  answer[#answer + 1] = entry[1]
  answer[#answer + 1] = tail
end
return answer
