-- Looks at a ticket: the first look consumes it and leaves the mirror, a later one is given the mirror.
--
-- KEYS[1]  <prefix>{t:<hash>}:ticket    the record, until the first look
-- KEYS[2]  <prefix>{t:<hash>}:consumed  the mirror of it, from then on
-- ARGV[1]  life of the mirror in ms
--
-- Returns {'ticket' | 'mirror', record}, or nil when the ticket is unknown, expired or established (a claim removes both).
--
-- GETDEL comes first: once a script has written, Redis lets its later writes pass even at maxmemory.
local record = redis.call('GETDEL', KEYS[1])
if record then
  redis.call('SET', KEYS[2], record, 'PX', ARGV[1])
  return { 'ticket', record }
end
local mirror = redis.call('GET', KEYS[2])
if mirror then
  return { 'mirror', mirror }
end
return nil
