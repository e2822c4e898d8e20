-- Registers a claim. KEYS: tokens, main, order, due. ARGV: spare epoch, entry, y or n (whether to wait),
-- and the token and epoch that its owner knows from a request before, or - and -.
-- Returns {held, token, epoch, fate}, {queued, ms until to look again, since or anew}, {refused},
-- {mismatch, mode} or {damaged, problem}. `anew` says that the claim stood in line before, and lapsed.
local function with_token(own)
  if own.token ~= '-' then
    return false
  elseif ARGV[4] ~= '-' then
    own.token, own.epoch = ARGV[4], ARGV[5]
  else
    own.token, own.epoch = mint()
  end
  return true
end

local e = decode(ARGV[2])
local q = open(KEYS[2], KEYS[3], KEYS[4])
local lapsed = false
if q.damaged then
  return { 'damaged', q.damaged }
end
if q.form == 'queue' then
  local dropped
  dropped, lapsed = expire(q, e.id)
  if dropped > 0 or q.held == 0 then
    grant(q)
  end
  if q.size == 0 then
    finish(q)
    q.form = 'none'
  end
end
if q.form == 'none' then
  e.token, e.epoch = mint()
  e.fate = q.fate
  redis.call('DEL', KEYS[3], KEYS[4])
  redis.call('SET', KEYS[2], encode(e), 'PX', e.ttl)
  return { 'held', e.token, e.epoch, e.fate }
end
local ttl = tonumber(e.ttl)
if q.form == 'plain' then
  local own = q.plain
  if own.id == e.id then
    with_token(own)
    redis.call('SET', KEYS[2], encode(own), 'PX', e.ttl)
    return { 'held', own.token, own.epoch, own.fate }
  end
  if not combines(e.mode, own.mode) then
    return { 'mismatch', own.mode }
  end
  if ARGV[3] == 'n' and not joins(e.mode, own.mode, 1) then
    return { 'refused' }
  end
  enqueue(q)
end

local answer
local rank = redis.call('ZRANK', q.order, e.id)
if rank and rank < q.held then
  local own = q.granted[e.id] or entry(q, e.id)
  if own then
    if with_token(own) then
      store(q, own)
    end
    keep(q, e.id, now + ttl, ttl)
    answer = { 'held', own.token, own.epoch, own.fate }
  else
    answer = { 'damaged', 'the claim is not of this format' }
  end
elseif rank and ARGV[3] == 'n' then
  leave(q, e.id, rank, '-')
  answer = { 'refused' }
elseif rank then
  keep(q, e.id, now + ttl, ttl)
  answer = { 'queued', wake(q, rank), 'since' }
else
  local first = q.plain or entry(q, at(q, 0))
  if not first then
    answer = { 'damaged', 'an entry of the queue is not a claim of this format' }
  elseif q.blocked then
    answer = { 'damaged', q.blocked }
  elseif not combines(e.mode, first.mode) then
    answer = { 'mismatch', first.mode }
  else
    local at_once = q.held == q.size and joins(e.mode, q.mode, q.held)
    if not at_once and ARGV[3] == 'n' then
      answer = { 'refused' }
    else
      q.seq = q.seq + 1
      q.size = q.size + 1
      redis.call('ZADD', q.order, text(q.seq), e.id)
      keep(q, e.id, now + ttl, ttl)
      q.changed = true
      if at_once then
        hold(q, e)
        answer = { 'held', e.token, e.epoch, e.fate }
      else
        store(q, e)
        answer = { 'queued', wake(q, q.size - 1), lapsed and 'anew' or 'since' }
      end
    end
  end
end
finish(q)
return answer
