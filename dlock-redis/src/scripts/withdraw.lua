-- Removes one claim. KEYS: tokens, main, order, due. ARGV: spare epoch, id, and how it goes
-- (r released or cancelled, v broken). Returns 'removed' or 'absent'.
local q = open(KEYS[2], KEYS[3], KEYS[4])
if q.damaged or q.form == 'none' then
  return 'absent'
elseif q.form == 'plain' then
  if q.plain.id ~= ARGV[2] then
    return 'absent'
  end
  redis.call('DEL', q.main)
  if ARGV[3] == 'v' then
    redis.call('PUBLISH', q.plain.inbox, 'gone ' .. ARGV[2])
  end
  return 'removed'
end
local dropped = expire(q)
local rank = redis.call('ZRANK', q.order, ARGV[2])
if rank then
  if ARGV[3] == 'v' then
    local e = entry(q, ARGV[2])
    if e then
      push(q, e.inbox, 'gone ' .. ARGV[2])
    end
  end
  leave(q, ARGV[2], rank, ARGV[3])
elseif dropped > 0 then
  grant(q)
end
finish(q)
return rank and 'removed' or 'absent'
