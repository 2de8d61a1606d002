-- Decides charges on Redis' clock. KEYS[i] is the bucket of charge i. ARGV[1] is the mode: "all" spends every charge or
-- none, "each" decides and spends one by one, "peek" spends nothing. Then five arguments per charge:
--   "log",  cost, capacity, window in us, grain in us
--   "gcra", cost, burst,    interval in us, 0
-- Returns three integers per charge: 1 if it fits, the units remaining, the wait in us (-1: never fits).

local mode, now = ARGV[1], now_us()

local function gcra_judge(key, cost, burst, interval)
  local tolerance = burst * interval
  local base = math.min(math.max(tonumber(redis.call('GET', key) or '0'), now), now + tolerance)
  local remaining = math.floor((tolerance - (base - now)) / interval)
  if cost > burst then return false, remaining, -1, base end
  local spent = base + cost * interval
  local wait = math.max(0, spent - now - tolerance)
  return wait == 0, remaining, wait, spent
end

local function judge(i)
  local at = 2 + (i - 1) * 5
  local cost, a, b, c = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local charge = { key = KEYS[i], log = ARGV[at] == 'log', cost = cost, window = b, grain = c }
  if charge.log then
    charge.fits, charge.remaining, charge.wait, charge.used = log_judge(KEYS[i], cost, a, b, c, now)
  else
    charge.fits, charge.remaining, charge.wait, charge.tat = gcra_judge(KEYS[i], cost, a, b)
  end
  return charge
end

local function commit(charge)
  if charge.log then
    log_insert(charge.key, stamp_of(now, charge.grain), charge.cost)
    log_keep(charge.key, charge.used + charge.cost, charge.window, charge.grain)
  else
    redis.call('SET', charge.key, text(charge.tat), 'PX', text(math.ceil((charge.tat - now) / 1000) + 1000))
  end
  charge.remaining = charge.remaining - charge.cost
end

local charges, all_fit = {}, true
for i = 1, #KEYS do
  charges[i] = judge(i)
  all_fit = all_fit and charges[i].fits
  if mode == 'each' and charges[i].fits then commit(charges[i]) end
end
if mode == 'all' and all_fit then
  for i = 1, #KEYS do commit(charges[i]) end
end

local answer = {}
for _, charge in ipairs(charges) do
  answer[#answer + 1] = charge.fits and 1 or 0
  answer[#answer + 1] = charge.remaining
  answer[#answer + 1] = charge.wait
end
return answer
