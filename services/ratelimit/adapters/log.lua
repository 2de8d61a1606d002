-- The sliding log of services/ratelimit/algorithms/sliding_log.py over one sorted set; prepended to the other scripts.
--
-- Members are "<cost>:<stamp>" for admissions and "<cost>:lease:<id>" for leases; the score is the stamp in microseconds
-- (about 1.8e15, exact in a double). The score of the member "used" is the sum of all costs: it sorts before every
-- stamp, and expires and is evicted together with the entries.

local FIRST_STAMP = 1e12
local USED_MAX = '(1000000000000'
local LEASE_TTL_US_MAX = 1000000

-- tostring() keeps 14 digits; a time in microseconds has 16.
local function text(number) return string.format('%.0f', number) end

local function now_us()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function cost_of(member) return tonumber(string.match(member, '^(%d+):')) end

local function stamp_of(now, grain)
  local rest = math.fmod(now, grain)
  if rest == 0 then return now end
  return now - rest + grain
end

local function log_set_used(key, used) redis.call('ZADD', key, text(used), 'used') end

local function log_insert(key, stamp, cost)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', key, text(stamp), text(stamp))) do
    if not string.find(member, ':lease:', 1, true) then
      redis.call('ZREM', key, member)
      cost = cost + cost_of(member)
    end
  end
  redis.call('ZADD', key, text(stamp), text(cost) .. ':' .. text(stamp))
end

-- Removes the entries that left the window; returns the units of the others.
local function log_prune(key, window, grain, now)
  local used = tonumber(redis.call('ZSCORE', key, 'used') or '0')
  local gone = redis.call('ZRANGEBYSCORE', key, USED_MAX, text(now - window))
  if #gone > 0 then
    for _, member in ipairs(gone) do used = used - cost_of(member) end
    redis.call('ZREMRANGEBYSCORE', key, USED_MAX, text(now - window))
    log_set_used(key, used)
  end
  -- Stamps ahead of now come from a clock that was set back: limit them, or they would count for that much longer.
  local newest = stamp_of(now, grain) + LEASE_TTL_US_MAX
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', key, '(' .. text(newest), '+inf')) do
    if string.find(member, ':lease:', 1, true) then
      redis.call('ZADD', key, text(newest), member)
    else
      redis.call('ZREM', key, member)
      log_insert(key, newest, cost_of(member))
    end
  end
  return used
end

-- Microseconds until `needed` units have left the window.
local function log_wait(key, needed, window, now)
  local from = 0
  while true do
    local page = redis.call('ZRANGEBYSCORE', key, USED_MAX, '+inf', 'WITHSCORES', 'LIMIT', from, 32)
    if #page == 0 then return window end
    for i = 1, #page, 2 do
      needed = needed - cost_of(page[i])
      if needed <= 0 then return tonumber(page[i + 1]) + window - now end
    end
    from = from + 32
  end
end

-- Returns: fits, remaining units, wait in microseconds (-1: never fits), units used.
local function log_judge(key, cost, capacity, window, grain, now)
  local used = log_prune(key, window, grain, now)
  local free = capacity - used
  if cost > capacity then return false, math.max(0, free), -1, used end
  if cost <= free then return true, free, 0, used end
  return false, math.max(0, free), log_wait(key, cost - free, window, now), used
end

local function log_keep(key, used, window, grain)
  log_set_used(key, used)
  redis.call('PEXPIRE', key, text(math.ceil((window + grain + LEASE_TTL_US_MAX) / 1000) + 1000))
end
