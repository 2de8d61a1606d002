-- Ends a lease. KEYS: the bucket, the lease. ARGV: lease id, unspent units.
-- Returns the units that the lease held, -1 if there is no such lease. A return of more than that changes nothing.

local held = tonumber(redis.call('HGET', KEYS[2], 'units') or '-1')
local units = tonumber(ARGV[2])
if held < 0 or units > held then return held end
redis.call('DEL', KEYS[2])
local member = text(held) .. ':lease:' .. ARGV[1]
local stamp = redis.call('ZSCORE', KEYS[1], member)
if stamp and units > 0 then
  redis.call('ZREM', KEYS[1], member)
  if held > units then redis.call('ZADD', KEYS[1], stamp, text(held - units) .. ':lease:' .. ARGV[1]) end
  log_set_used(KEYS[1], tonumber(redis.call('ZSCORE', KEYS[1], 'used')) - units)
end
return held
