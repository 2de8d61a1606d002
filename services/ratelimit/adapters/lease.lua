-- Debits a lease. KEYS: the bucket, the lease. ARGV: lease id, units wanted, capacity, window in us, grain in us,
-- lifetime of the lease in us, smallest lease, divisor of the free units.
-- Returns the units granted and, if none, the wait in us.

local now = now_us()
local id, wanted = ARGV[1], tonumber(ARGV[2])
local capacity, window, grain = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local ttl, smallest, divisor = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])

local needed = math.min(smallest * divisor, capacity)
local _, free, wait, used = log_judge(KEYS[1], needed, capacity, window, grain, now)
local units = math.min(wanted, math.floor(free / divisor))
if units < smallest then return { 0, wait } end

local member = text(units) .. ':lease:' .. id
-- The stamp is the last moment at which the units may be spent: they count for a whole window after it.
redis.call('ZADD', KEYS[1], text(now + ttl), member)
log_keep(KEYS[1], used + units, window, grain)
redis.call('HSET', KEYS[2], 'bucket', KEYS[1], 'units', text(units))
redis.call('PEXPIRE', KEYS[2], text(math.ceil((ttl + window) / 1000)))
return { units, 0 }
