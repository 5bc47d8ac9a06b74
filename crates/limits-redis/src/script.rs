//! The buckets in Redis.
//!
//! One hash for each bucket, at `<prefix>app:<stream>` or `<prefix>group`:
//!
//! | field | |
//! |---|---|
//! | `level` | millionths of an event in the bucket |
//! | `rate` | events per second that filled it since `updated` |
//! | `updated` | microseconds since 1970 by the clock of Redis |
//!
//! A bucket that is absent is full. Every write sets a time to live of one window and a millisecond, after which
//! the bucket would be full again. Numbers are doubles: beyond 2^53 millionths, which is a rate of 900 million
//! events per second in a window of ten seconds, they are rounded.

/// Takes the events (`ARGV[2]`) from each bucket (`KEYS`), whose rates are the further arguments and whose
/// window in microseconds is `ARGV[1]`; or nothing. Answers which bucket was short of them, or 0, and for how
/// many microseconds, or -1 for ever.
///
/// A rate that changed is noted also when the batch is refused, as the local limiter does.
pub const TAKE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local window = tonumber(ARGV[1])
local cost = ARGV[2] * 1000000
local buckets = {}
local short, wait = 0, 0
for i, key in ipairs(KEYS) do
  local rate = tonumber(ARGV[i + 2])
  local capacity = rate * window
  local known = redis.call('HMGET', key, 'level', 'rate', 'updated')
  local level, updated, before = capacity, now, nil
  if known[1] and known[2] and known[3] then
    before = tonumber(known[2])
    updated = math.max(tonumber(known[3]), now)
    level = tonumber(known[1]) + (updated - tonumber(known[3])) * before
    if level > capacity then level = capacity end
  end
  buckets[i] = {level, rate, updated, before}
  if short == 0 and level < cost then
    short = i
    wait = -1
    if cost <= capacity then wait = math.ceil((cost - level) / rate) end
  end
end
for i, key in ipairs(KEYS) do
  local level, rate, updated, before = unpack(buckets[i], 1, 4)
  if short == 0 then level = level - cost end
  if short == 0 or (before and before ~= rate) then
    redis.call('HSET', key, 'level', string.format('%.0f', level), 'rate', rate,
      'updated', string.format('%.0f', updated))
    redis.call('PEXPIRE', key, math.ceil(window / 1000) + 1)
  end
end
return {short, wait}
";
