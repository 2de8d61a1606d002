-- Debits a lease in advance. KEYS: the bucket, the lease. ARGV: lease id, units wished, capacity, window in us,
-- grain in us, lease time in us, the smallest lease, the divisor of what is free.
-- Returns the units granted and, when none, the wait in us.

local now = now_us()
local id, wished = ARGV[1], tonumber(ARGV[2])
local capacity, window, grain = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local ttl, smallest, divisor = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])

local needed = math.min(smallest * divisor, capacity)
local _, free, wait, used = log_judge(KEYS[1], needed, capacity, window, grain, now)
local units = math.min(wished, math.floor(free / divisor))
if units < smallest then return { 0, wait } end

local member = text(units) .. ':lease:' .. id
-- Stamped at the last moment it may be spent, so that its units count for a whole window from then.
redis.call('ZADD', KEYS[1], text(now + ttl), member)
log_keep(KEYS[1], used + units, window, grain)
redis.call('HSET', KEYS[2], 'bucket', KEYS[1], 'units', text(units))
redis.call('PEXPIRE', KEYS[2], text(math.ceil((ttl + window) / 1000)))
return { units, 0 }
