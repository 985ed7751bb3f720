-- Reads what follows a position, if it can be proven that it follows: the next entry names it as the position before,
-- or it is the log's end.
--
-- KEYS  1 meta   2 log
-- ARGV  1 position   2 most entries   3 most bytes   4 TTL ms of a position that only readers hold
-- Gives {'proven', last, made 0|1, owner or '', closed 0|1, position, tail, …}
--    or {'unproven', last or '', oldest position or ''}

local meta, log, after = KEYS[1], KEYS[2], ARGV[1]
local maxBytes = tonumber(ARGV[3])
local known = redis.call('HMGET', meta, 'last', 'made', 'owner', 'closed')
local last = known[1]
if not last then
  -- Evicted meta over a living log: the log's own end counts.
  local top = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)
  if top[1] then last = top[1][1] end
elseif not known[2] then
  redis.call('PEXPIRE', meta, ARGV[4])
end

local answer = { 'proven', last, known[2] and 1 or 0, known[3] or '', known[4] and 1 or 0 }
if last == after then return answer end
local entries = redis.call('XRANGE', log, '(' .. after, '+', 'COUNT', ARGV[2])
local first = entries[1]
if not last or not first or first[2][2] ~= after then
  local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
  return { 'unproven', last or '', oldest and oldest[1] or '' }
end

local bytes = 0
for at, entry in ipairs(entries) do
  local tail = entry[2][4]
  bytes = bytes + #tail
  if at > 1 and bytes > maxBytes then break end
  answer[#answer + 1] = entry[1]
  answer[#answer + 1] = tail
end
return answer
