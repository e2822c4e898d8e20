-- Makes a held exclusive claim shared. KEYS: tokens, main, order, due. ARGV: spare epoch, id, and the
-- token and epoch that its owner knows, or - and -. Returns {held, token, epoch, fate} or {lost}.
local function convert(e)
  if not e or e.id ~= ARGV[2] or (e.mode ~= 'x' and e.mode ~= 's') then
    return false
  end
  e.mode = 's'
  if e.token == '-' then
    if ARGV[3] == '-' then
      e.token, e.epoch = mint()
    else
      e.token, e.epoch = ARGV[3], ARGV[4]
    end
  end
  return true
end

local q = open(KEYS[2], KEYS[3], KEYS[4])
if q.damaged or q.form == 'none' then
  return { 'lost' }
end
if q.form == 'plain' then
  if not convert(q.plain) then
    return { 'lost' }
  end
  redis.call('SET', q.main, encode(q.plain), 'KEEPTTL')
  return { 'held', q.plain.token, q.plain.epoch, q.plain.fate }
end
if expire(q) > 0 or q.held == 0 then
  grant(q)
end
local answer = { 'lost' }
local rank = redis.call('ZRANK', q.order, ARGV[2])
if rank and rank < q.held then
  local e = q.granted[ARGV[2]] or entry(q, ARGV[2])
  if convert(e) then
    store(q, e)
    q.mode, q.changed = 's', true
    answer = { 'held', e.token, e.epoch, e.fate }
    grant(q)
  end
end
finish(q)
return answer
