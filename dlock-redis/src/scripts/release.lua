-- Removes the claim of a plain name, the usual case. KEYS: main. ARGV: id.
-- Returns 'removed', 'absent', or 'queue' where it takes withdraw to tell.
local stored = redis.pcall('GET', KEYS[1])
if not stored then
  return 'absent'
elseif type(stored) ~= 'string' then
  return 'queue'
elseif string.sub(stored, 1, 35) ~= '1 ' .. ARGV[1] .. ' ' then
  return 'absent'
end
redis.call('DEL', KEYS[1])
return 'removed'
