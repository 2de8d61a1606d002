-- Concurrency slots: a sorted set of holders; the score is the end of the slot in us. KEYS: the set.
-- ARGV: "acquire", holder, capacity (0: unlimited), time to live in us; or "release", holder.
-- Returns 1 if the holder has a slot, and the slots in use.

local now = now_us()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now))
if ARGV[1] == 'release' then
  redis.call('ZREM', KEYS[1], ARGV[2])
  return { 0, redis.call('ZCARD', KEYS[1]) }
end

local capacity, ttl = tonumber(ARGV[3]), tonumber(ARGV[4])
local held = redis.call('ZSCORE', KEYS[1], ARGV[2])
if not held and capacity > 0 and redis.call('ZCARD', KEYS[1]) >= capacity then
  return { 0, redis.call('ZCARD', KEYS[1]) }
end
redis.call('ZADD', KEYS[1], text(now + ttl), ARGV[2])
local last = tonumber(redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2])
redis.call('PEXPIRE', KEYS[1], text(math.ceil((last - now) / 1000) + 1000))
return { 1, redis.call('ZCARD', KEYS[1]) }
