-- What the scripts below share: tokens, and the queue form of a name.
--
-- A name has one of two forms.
--   plain: KEY main is a string, the entry of the one claim that holds; the key's expiry is the claim's.
--   queue: main is a hash of claim id -> entry, with `held` (how many claims, counted from the front,
--          hold), `seq` (the last place given out) and `fate` (how the last holder went: r released,
--          v vanished, - unknown); `order` is a sorted set of claim id by place, `due` one of claim id
--          by the server's time in ms at which it lapses. All three expire with the last claim.
-- By the admission rule those who hold always are the first in order, so one count tells them.
--
-- An entry is text: format, id, mode (x, s or p<limit>), ttl in ms, inbox, token, epoch, fate, record.
-- KEYS[1] is the bucket's tokens: a hash of the present `epoch`, and under that epoch's own name the counter.
-- ARGV[1] is an epoch to use if there is none.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function text(number)
  return string.format('%.0f', number)
end

-- The next token, and its epoch. Never below the time in microseconds, so that a counter that was
-- lost goes on growing; a counter or an epoch that cannot be read is a lost history.
local function mint()
  local epoch = redis.pcall('HGET', KEYS[1], 'epoch')
  local known = type(epoch) == 'string' and #epoch == 16 and string.match(epoch, '^%x+$')
  local value = known and redis.pcall('HINCRBY', KEYS[1], epoch, 1)
  if type(value) ~= 'number' then
    epoch, value = ARGV[1], 0
    redis.call('DEL', KEYS[1])
  end
  local floor = time[1] * 1000000 + time[2]
  if value < floor then
    value = floor
    redis.call('HSET', KEYS[1], 'epoch', epoch, epoch, text(value))
  end
  return text(value), epoch
end

local function encode(e)
  return table.concat({ '1', e.id, e.mode, e.ttl, e.inbox, e.token, e.epoch, e.fate, e.record }, ' ')
end

local function decode(stored)
  if type(stored) ~= 'string' then
    return nil
  end
  local id, mode, ttl, inbox, token, epoch, fate, record =
    string.match(stored, '^1 (%x+) ([xsp]%d*) (%d+) (%S+) (%S+) (%S+) ([rv-]) ({.*})$')
  if not id or #id ~= 32 then
    return nil
  end
  return {
    id = id, mode = mode, ttl = ttl, inbox = inbox, token = token, epoch = epoch, fate = fate, record = record,
  }
end

local function combines(mode, other)
  local permits = string.sub(mode, 1, 1) == 'p' or string.sub(other, 1, 1) == 'p'
  return not permits or mode == other
end

-- Whether a claim holds beside `held` others in mode `beside` that all stand before it.
local function joins(mode, beside, held)
  if held == 0 then
    return true
  elseif mode == 's' then
    return beside == 's'
  elseif mode == 'x' then
    return false
  end
  return mode == beside and held < tonumber(string.sub(mode, 2))
end

-- Reads the form of a name. `q.damaged` says what is wrong with it.
local function open(main, order, due)
  local q = { main = main, order = order, due = due, pushes = {}, inboxes = {}, fate = '-' }
  local kind = redis.call('TYPE', main).ok
  if kind == 'none' then
    q.form = 'none'
  elseif kind == 'string' then
    q.form = 'plain'
    q.plain = decode(redis.call('GET', main))
    if not q.plain then
      q.damaged = 'not a claim of this format'
    end
  elseif kind ~= 'hash' then
    q.damaged = 'a ' .. kind .. ' where a claim was expected'
  elseif redis.call('TYPE', order).ok ~= 'zset' or redis.call('TYPE', due).ok ~= 'zset' then
    q.damaged = 'a queue without its order'
  else
    q.form = 'queue'
    q.size = redis.call('ZCARD', order)
    local fields = redis.call('HMGET', main, 'held', 'seq', 'fate')
    q.held, q.seq, q.fate = tonumber(fields[1] or ''), tonumber(fields[2] or ''), fields[3]
    if not (q.held and q.seq and q.fate) or q.held < 0 or q.held > q.size
      or redis.call('ZCARD', due) ~= q.size or redis.call('HLEN', main) ~= q.size + 3 then
      q.damaged = 'a queue that does not add up'
    end
  end
  return q
end

-- A line for the client that listens on `inbox`; sent by `finish`, one message per inbox.
local function push(q, inbox, line)
  if not q.pushes[inbox] then
    q.pushes[inbox] = {}
    table.insert(q.inboxes, inbox)
  end
  table.insert(q.pushes[inbox], line)
end

local function at(q, rank)
  return redis.call('ZRANGE', q.order, rank, rank)[1]
end

local function entry(q, id)
  return decode(redis.call('HGET', q.main, id))
end

-- In how many ms the waiter at `rank` should look again if it hears nothing: when the claim before
-- it lapses, or for the first waiter, when any claim does.
local function wake(q, rank)
  local score
  if rank <= q.held then
    score = redis.call('ZRANGE', q.due, 0, 0, 'WITHSCORES')[2]
  else
    score = redis.call('ZSCORE', q.due, at(q, rank - 1))
  end
  return text(math.max(tonumber(score) - now, 0) + 1)
end

local function drop(q, id, fate)
  local rank = redis.call('ZRANK', q.order, id)
  if rank and rank < q.held then
    q.held = q.held - 1
    q.fate = fate
  end
  redis.call('ZREM', q.order, id)
  redis.call('ZREM', q.due, id)
  redis.call('HDEL', q.main, id)
  q.size = q.size - 1
  return rank
end

-- Drops the claims whose time is up, and tells their owners; `own` is told by the script's answer.
-- Answers whether `own` was among them.
local function expire(q, own)
  local lapsed = false
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', q.due, '-inf', text(now))) do
    local e = entry(q, id)
    if id == own then
      lapsed = true
    elseif e then
      push(q, e.inbox, 'gone ' .. id)
    end
    drop(q, id, 'v')
  end
  return lapsed
end

local function hold(q, e)
  e.token, e.epoch = mint()
  e.fate = q.fate
  redis.call('HSET', q.main, e.id, encode(e))
  q.held = q.held + 1
end

local function beside(q)
  local first = q.held > 0 and entry(q, at(q, 0))
  return first and first.mode or '-'
end

-- Grants to those in front whom nothing blocks any more.
local function grant(q)
  local head = q.held
  local mode = beside(q)
  while q.held < q.size do
    local e = entry(q, at(q, q.held))
    if not e then
      q.blocked = 'an entry of the queue is not a claim of this format'
      return
    end
    if not joins(e.mode, mode, q.held) then
      break
    end
    mode = e.mode
    hold(q, e)
    push(q, e.inbox, table.concat({ 'granted', e.id, e.token, e.epoch, e.fate }, ' '))
  end
  -- With one holder the next in line watches it already; behind several it must hear which goes first.
  if q.held > head and q.held > 1 then
    q.tell = q.held
  end
end

-- Writes the counts back, or removes everything with the last claim; then sends the pushes.
local function finish(q)
  if q.size == 0 then
    redis.call('DEL', q.main, q.order, q.due)
  else
    redis.call('HSET', q.main, 'held', q.held, 'seq', text(q.seq), 'fate', q.fate)
    local last = redis.call('ZRANGE', q.due, -1, -1, 'WITHSCORES')[2]
    for _, key in ipairs({ q.main, q.order, q.due }) do
      redis.call('PEXPIREAT', key, text(tonumber(last)))
    end
    if q.tell and q.tell < q.size then
      local e = entry(q, at(q, q.tell))
      if e then
        push(q, e.inbox, 'look ' .. e.id .. ' ' .. wake(q, q.tell))
      end
    end
  end
  for _, inbox in ipairs(q.inboxes) do
    redis.call('PUBLISH', inbox, table.concat(q.pushes[inbox], '\n'))
  end
end

-- Removes one claim from a queue; the one behind a waiter that left must hear what to watch now.
local function leave(q, id, fate)
  local rank = drop(q, id, fate)
  if rank >= q.held and rank > 0 then
    q.tell = rank
  end
  grant(q)
end

-- Turns a plain name into its queue form, with its holder in front.
local function enqueue(q)
  local e = q.plain
  local left = redis.call('PTTL', q.main)
  if left < 0 then
    left = tonumber(e.ttl)
  end
  redis.call('DEL', q.main, q.order, q.due)
  redis.call('HSET', q.main, e.id, encode(e), 'held', 1, 'seq', 1, 'fate', '-')
  redis.call('ZADD', q.order, 1, e.id)
  redis.call('ZADD', q.due, text(now + left), e.id)
  q.form, q.size, q.held, q.seq, q.fate = 'queue', 1, 1, 1, '-'
end
