-- What the scripts below share: tokens, and the queue form of a name.
--
-- A name has one of two forms.
--   plain: KEY main is a string, the entry of the one claim that holds; the key's expiry is the claim's.
--   queue: main is a hash of claim id -> entry, with `held` (how many claims, counted from the front,
--          hold), `mode` (theirs, - if there is none), `seq` (the last place given out), `fate` (how the
--          last holder went: r released, v vanished, - unknown) and `ends` (when all three keys expire, at
--          the earliest with the last claim); `order` is a sorted set of claim id by place, `due` one of
--          claim id by the server's time in ms at which it lapses.
-- By the admission rule those who hold always are the first in order, so one count tells them.
-- A command costs more than anything else here, so what is known is not asked for again, and what did not
-- change is not written.
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

-- How many fields a queue's hash has besides its entries.
local COUNTS = 5

-- Reads the form of a name. `q.damaged` says what is wrong with it.
local function open(main, order, due)
  local q = { main = main, order = order, due = due, fate = '-', mode = '-' }
  q.pushes, q.inboxes, q.writes, q.granted = {}, {}, {}, {}
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
  else
    q.form = 'queue'
    local fields = redis.call('HMGET', main, 'held', 'mode', 'seq', 'fate', 'ends')
    q.held, q.mode, q.seq, q.fate = tonumber(fields[1] or ''), fields[2], tonumber(fields[3] or ''), fields[4]
    q.ends, q.size = tonumber(fields[5] or ''), redis.pcall('ZCARD', order)
    if type(q.size) ~= 'number' then
      q.damaged = 'a queue without its order'
    elseif not (q.held and q.mode and q.seq and q.fate and q.ends) or q.held < 0 or q.held > q.size
      or redis.pcall('ZCARD', due) ~= q.size or redis.call('HLEN', main) ~= q.size + COUNTS then
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

-- To be written with the next `finish`.
local function write(q, field, value)
  table.insert(q.writes, field)
  table.insert(q.writes, value)
end

local function store(q, e)
  write(q, e.id, encode(e))
end

-- Gives a claim until `at`. The keys go with the last claim, and a little later, so that they need not be
-- told of every claim anew.
local function keep(q, id, at, ttl)
  redis.call('ZADD', q.due, text(at), id)
  if at > q.ends then
    q.ends = at + math.floor(ttl / 4)
    q.extended, q.changed = true, true
  end
end

local function drop(q, id, rank, fate)
  if rank < q.held then
    q.held = q.held - 1
    q.fate = fate
    if q.held == 0 then
      q.mode = '-'
    end
  end
  redis.call('ZREM', q.order, id)
  redis.call('ZREM', q.due, id)
  redis.call('HDEL', q.main, id)
  q.size = q.size - 1
  q.changed = true
end

-- Drops the claims whose time is up, and tells their owners; `own` is told by the script's answer.
-- Answers how many there were, and whether `own` was among them.
local function expire(q, own)
  local soonest = redis.call('ZRANGE', q.due, 0, 0, 'WITHSCORES')[2]
  if not soonest or tonumber(soonest) > now then
    return 0, false
  end
  local ids = redis.call('ZRANGEBYSCORE', q.due, '-inf', text(now))
  local lapsed = false
  for _, id in ipairs(ids) do
    local e = entry(q, id)
    if id == own then
      lapsed = true
    elseif e then
      push(q, e.inbox, 'gone ' .. id)
    end
    drop(q, id, redis.call('ZRANK', q.order, id) or q.size, 'v')
  end
  return #ids, lapsed
end

local function hold(q, e)
  e.token, e.epoch = mint()
  e.fate = q.fate
  store(q, e)
  q.granted[e.id] = e
  q.held = q.held + 1
  q.mode = e.mode
  q.changed = true
end

-- Grants to those in front whom nothing blocks any more.
local function grant(q)
  local head = q.held
  while q.held < q.size and not (q.held > 0 and q.mode == 'x') do
    local e = entry(q, at(q, q.held))
    if not e then
      q.blocked = 'an entry of the queue is not a claim of this format'
      return
    end
    if not joins(e.mode, q.mode, q.held) then
      break
    end
    hold(q, e)
    push(q, e.inbox, table.concat({ 'granted', e.id, e.token, e.epoch, e.fate }, ' '))
  end
  -- With one holder the next in line watches it already; behind several it must hear which goes first.
  if q.held > head and q.held > 1 then
    q.tell = q.held
  end
end

-- Fields and values; Lua hands over only some thousand arguments.
local WRITTEN_AT_ONCE = 1000

-- Writes what has changed, or removes everything with the last claim; then sends the pushes.
local function finish(q)
  if q.size == 0 then
    redis.call('DEL', q.main, q.order, q.due)
  else
    if q.changed then
      for field, value in pairs({ held = q.held, mode = q.mode, seq = text(q.seq), fate = q.fate, ends = text(q.ends) }) do
        write(q, field, value)
      end
    end
    for i = 1, #q.writes, WRITTEN_AT_ONCE do
      redis.call('HSET', q.main, unpack(q.writes, i, math.min(i + WRITTEN_AT_ONCE, #q.writes + 1) - 1))
    end
    if q.extended then
      for _, key in ipairs({ q.main, q.order, q.due }) do
        redis.call('PEXPIREAT', key, text(q.ends))
      end
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
local function leave(q, id, rank, fate)
  drop(q, id, rank, fate)
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
  redis.call('ZADD', q.order, 1, e.id)
  q.form, q.size, q.held, q.mode, q.seq, q.fate, q.ends = 'queue', 1, 1, e.mode, 1, '-', 0
  store(q, e)
  keep(q, e.id, now + left, tonumber(e.ttl))
end
