-- Keeps claims alive, or only looks at them. KEYS: tokens, then main, order, due for each claim.
-- ARGV: spare epoch, then for each claim: id, ttl in ms (0 leaves its time alone), and the token and epoch
-- that its owner knows, or - and -. Never re-creates anything.
-- Returns for each claim {held, token, epoch, fate}, {queued, ms until to look again}, {gone},
-- {altered, how} or {error, what}.
local function with_token(e, token, epoch)
  if e.token ~= '-' then
    return false
  end
  if token == '-' then
    token, epoch = mint()
  end
  e.token, e.epoch = token, epoch
  return true
end

local function renew(main, order, due, id, ttl, token, epoch)
  local q = open(main, order, due)
  if q.damaged then
    return { 'altered', q.damaged }
  elseif q.form == 'none' then
    return { 'gone' }
  elseif q.form == 'plain' then
    local e = q.plain
    if e.id ~= id then
      return { 'gone' }
    end
    if with_token(e, token, epoch) then
      redis.call('SET', main, encode(e), 'KEEPTTL')
    end
    if ttl > 0 then
      redis.call('PEXPIRE', main, text(ttl))
    end
    return { 'held', e.token, e.epoch, e.fate }
  end
  if expire(q) > 0 or q.held == 0 then
    grant(q)
  end
  local answer
  local rank = redis.call('ZRANK', order, id)
  if not rank then
    answer = { 'gone' }
  else
    -- One that was granted just now is not stored yet.
    local e = q.granted[id] or entry(q, id)
    if not e or e.id ~= id then
      answer = { 'altered', 'its entry is not the claim any more' }
    else
      if ttl > 0 then
        keep(q, id, now + ttl, ttl)
      end
      if rank < q.held then
        if with_token(e, token, epoch) then
          store(q, e)
        end
        answer = { 'held', e.token, e.epoch, e.fate }
      else
        answer = { 'queued', wake(q, rank) }
      end
    end
  end
  finish(q)
  return answer
end

local answers = {}
for i = 1, (#KEYS - 1) / 3 do
  local k, a = 3 * i - 1, 4 * i - 2
  local ok, answer =
    pcall(renew, KEYS[k], KEYS[k + 1], KEYS[k + 2], ARGV[a], tonumber(ARGV[a + 1]), ARGV[a + 2], ARGV[a + 3])
  if not ok then
    answer = { 'error', type(answer) == 'table' and answer.err or tostring(answer) }
  end
  answers[i] = answer
end
return answers
