-- The rest of withdraw_plain.lua: the name is in its queue form.
local q = open(KEYS[2], KEYS[3], KEYS[4])
if q.damaged then
  return 'absent'
end
local found = false
expire(q)
if redis.call('ZRANK', q.order, ARGV[2]) then
  found = true
  if ARGV[3] == 'v' then
    local e = entry(q, ARGV[2])
    if e then
      push(q, e.inbox, 'gone ' .. ARGV[2])
    end
  end
  leave(q, ARGV[2], ARGV[3])
else
  grant(q)
end
finish(q)
return found and 'removed' or 'absent'
