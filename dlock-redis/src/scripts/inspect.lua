-- Reads what stands under a name. KEYS: main, order, due.
-- Returns {none}; {plain, fingerprint, entry, ms left}; {queue, fingerprint, held, then id, entry, ms left and
-- the entry's fingerprint for each claim in order}; or {damaged, fingerprint, problem}. Ms left are negative
-- where there is no expiry.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then
  return { 'none' }
end
local fingerprint = redis.sha1hex(redis.call('DUMP', KEYS[1]))
if kind == 'string' then
  return { 'plain', fingerprint, redis.call('GET', KEYS[1]), tostring(redis.call('PTTL', KEYS[1])) }
elseif kind ~= 'hash' then
  return { 'damaged', fingerprint, 'a ' .. kind .. ' where a claim was expected' }
elseif redis.call('TYPE', KEYS[2]).ok ~= 'zset' or redis.call('TYPE', KEYS[3]).ok ~= 'zset' then
  return { 'damaged', fingerprint, 'a queue without its order' }
end
local size = redis.call('ZCARD', KEYS[2])
local fields = redis.call('HMGET', KEYS[1], 'held', 'mode', 'seq', 'fate', 'ends')
local held = tonumber(fields[1] or '')
if not (held and fields[2] and tonumber(fields[3] or '') and fields[4] and tonumber(fields[5] or '')) or held < 0
  or held > size or redis.call('ZCARD', KEYS[3]) ~= size or redis.call('HLEN', KEYS[1]) ~= size + 5 then
  return { 'damaged', fingerprint, 'a queue that does not add up' }
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answer = { 'queue', fingerprint, held }
for place, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  local due = tonumber(redis.call('ZSCORE', KEYS[3], id) or '')
  if due and due <= now then
    -- It has lapsed; whoever comes next drops it.
    answer[3] = answer[3] - (place <= held and 1 or 0)
  else
    local entry = redis.call('HGET', KEYS[1], id) or ''
    table.insert(answer, id)
    table.insert(answer, entry)
    table.insert(answer, due and string.format('%.0f', due - now) or '-1')
    table.insert(answer, redis.sha1hex(entry))
  end
end
answer[3] = tostring(answer[3])
return answer
