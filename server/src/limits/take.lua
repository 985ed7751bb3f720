-- Takes from one key of a sliding window, atomically, by the clock of Redis.
--
-- KEYS  1 hash: slot number -> what was taken in it
-- ARGV  1 limit   2 window ms   3 slot ms   4 cost   5 up to
-- Gives {taken, retry after ms}; taken is 0 where cost could not be had
--
-- A slot counts until a window after its end, so never too little. The hash lives as long as its youngest slot.

local key = KEYS[1]
local limit, window, size = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local cost, upTo = tonumber(ARGV[4]), tonumber(ARGV[5])

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local current = math.floor(now / size)

local used, slots, old = 0, {}, {}
local fields = redis.call('HGETALL', key)
for at = 1, #fields, 2 do
  local slot = tonumber(fields[at])
  if (slot + 1) * size + window <= now then
    old[#old + 1] = fields[at]
  else
    local count = tonumber(fields[at + 1])
    used = used + count
    slots[#slots + 1] = { slot, count }
    -- A failover to a clock behind ours: count into the newest slot, or the hash would hold more of them than it should.
    if slot > current then current = slot end
  end
end
if #old > 0 then redis.call('HDEL', key, unpack(old)) end

if used + cost > limit then
  table.sort(slots, function(a, b) return a[1] < b[1] end)
  for _, slot in ipairs(slots) do
    used = used - slot[2]
    if used + cost <= limit then return { 0, (slot[1] + 1) * size + window - now } end
  end
end

local taken = math.min(upTo, limit - used)
redis.call('HINCRBY', key, string.format('%.0f', current), string.format('%.0f', taken))
redis.call('PEXPIRE', key, window + size)
return { taken, 0 }
