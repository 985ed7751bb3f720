-- Claims the one connection of a ticket.
--
-- KEYS[1]  <prefix>{t:<hash>}:ticket       gone since the first look, unless a failover brought it back
-- KEYS[2]  <prefix>{t:<hash>}:consumed     the mirror
-- KEYS[3]  <prefix>{t:<hash>}:established  the tombstone: the attempt that won
-- ARGV[1]  this attempt's unique id
-- ARGV[2]  life of the tombstone in ms
--
-- Returns 1 when the connection is this attempt's (also when asked again), else 0.
--
-- The DEL comes first: whoever wins, nobody may pass any more, and a script that has written may write at maxmemory.
redis.call('DEL', KEYS[1], KEYS[2])
if redis.call('SET', KEYS[3], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return 1
end
if redis.call('GET', KEYS[3]) == ARGV[1] then
  return 1
end
return 0
