-- Keeps under each key an entry or a tombstone, unless something newer is there.
-- ARGV: the life in microseconds; then for each key the version, when it was looked up in
-- microseconds (empty for a tombstone), and the value.
-- Kept as VERSION:LOOKED_UP_AT:VALUE.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local life = tonumber(ARGV[1])
for i, key in ipairs(KEYS) do
  local version, looked_up_at, value = ARGV[3 * i - 1], ARGV[3 * i], ARGV[3 * i + 1]
  local kept = redis.call('GET', key)
  local kept_version = kept and tonumber(string.match(kept, '^%d+')) or -1
  local fits
  if looked_up_at == '' then
    fits = kept_version < tonumber(version)
  else
    -- This may be running long after it was sent: Redis may have been stopped in between.
    fits = kept_version <= tonumber(version) and now < tonumber(looked_up_at) + life
  end
  if fits then
    -- It stays for a whole life from now, though the entry in it may die sooner: until then it
    -- keeps older versions out, as the tombstone did that it may have replaced.
    redis.call('SET', key, version .. ':' .. looked_up_at .. ':' .. value, 'PX', math.ceil(life / 1000))
  end
end
