-- Removes everything of a topic and tells who listens.
--
-- KEYS  1 meta   2 log   3 state   4 idempotency   5 idempotency-ages   6 presence   7 presence-leases   8 live (channel)
-- Gives 1 where somebody had made the topic, else 0

local made = redis.call('HEXISTS', KEYS[1], 'made')
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7])
redis.call('SPUBLISH', KEYS[8], 'd')
return made
