-- Lifts a bucket's token counter to the server's time, and tells the epoch. KEYS: tokens. ARGV: spare epoch,
-- the epoch that the client knows or -, the highest token it has seen, and how many tokens to mint (0 or 1).
-- A counter below what the client has seen in this same epoch has lost its history: the epoch changes. Another
-- client may have found that out before; then its epoch stands. Returns {token, epoch}.
local time = redis.call('TIME')
local tokens = KEYS[1]
local epoch = redis.pcall('HGET', tokens, 'epoch')
local known = type(epoch) == 'string' and #epoch == 16 and string.match(epoch, '^%x+$')
local value = known and tonumber(redis.call('HGET', tokens, epoch) or '')
if not known or not value or (epoch == ARGV[2] and value < tonumber(ARGV[3])) then
  epoch, value = ARGV[1], 0
  redis.call('DEL', tokens)
elseif redis.call('HLEN', tokens) > 2 then
  -- Clients that still counted in an epoch before.
  redis.call('DEL', tokens)
end
value = math.max(value, time[1] * 1000000 + time[2]) + tonumber(ARGV[4])
local token = string.format('%.0f', value)
redis.call('HSET', tokens, 'epoch', epoch, epoch, token)
return { token, epoch }
