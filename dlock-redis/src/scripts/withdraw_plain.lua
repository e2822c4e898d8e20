-- Removes one claim. KEYS: tokens, main, order, due. ARGV: spare epoch, id, and how it goes
-- (r released or cancelled, v broken). Returns 'removed' or 'absent'.
-- A plain name, the usual case, needs no more than this compare and delete.
local stored = redis.pcall('GET', KEYS[2])
if not stored then
  return 'absent'
end
if type(stored) == 'string' then
  if string.sub(stored, 1, 35) ~= '1 ' .. ARGV[2] .. ' ' then
    return 'absent'
  end
  redis.call('DEL', KEYS[2])
  if ARGV[3] == 'v' then
    local inbox = string.match(stored, '^1 %x+ %S+ %d+ (%S+) ')
    if inbox then
      redis.call('PUBLISH', inbox, 'gone ' .. ARGV[2])
    end
  end
  return 'removed'
end
