-- Removes what inspect.lua showed as damaged, if it still is what it was. KEYS: tokens, main, order,
-- due. ARGV: spare epoch, fingerprint, and the one entry of the queue that is damaged, or nothing for the whole.
-- Returns 'removed' or 'absent'.
local whole = ARGV[3] == ''
local stored
if whole then
  stored = redis.call('DUMP', KEYS[2])
elseif redis.call('TYPE', KEYS[2]).ok == 'hash' then
  stored = redis.call('HGET', KEYS[2], ARGV[3]) or ''
end
if not stored or redis.sha1hex(stored) ~= ARGV[2] then
  return 'absent'
end
if whole then
  redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
  return 'removed'
end
local held = tonumber(redis.call('HGET', KEYS[2], 'held') or '')
local rank = redis.call('ZRANK', KEYS[3], ARGV[3])
if held and rank and rank < held then
  redis.call('HSET', KEYS[2], 'held', held - 1)
end
redis.call('ZREM', KEYS[3], ARGV[3])
redis.call('ZREM', KEYS[4], ARGV[3])
redis.call('HDEL', KEYS[2], ARGV[3])
local q = open(KEYS[2], KEYS[3], KEYS[4])
if q.form == 'queue' and not q.damaged then
  expire(q)
  grant(q)
  finish(q)
end
return 'removed'
