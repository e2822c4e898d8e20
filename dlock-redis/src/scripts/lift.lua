-- Lifts the token counter to the server's time, and tells the epoch. KEYS: tokens, epoch. ARGV: spare epoch,
-- the epoch that the client knows or -, the highest token it has seen, and how many tokens to mint (0 or 1).
-- A counter below what the client has seen in this same epoch has lost its history: the epoch changes. Another
-- client may have found that out before; then its epoch stands. Returns {token, epoch}.
local time = redis.call('TIME')
local epoch = redis.pcall('GET', KEYS[2])
local stored = redis.pcall('GET', KEYS[1])
local value = type(stored) == 'string' and tonumber(stored) or nil
if type(epoch) ~= 'string' or not string.match(epoch, '^%x+$') or #epoch ~= 16
  or (epoch == ARGV[2] and (not value or value < tonumber(ARGV[3]))) then
  epoch = ARGV[1]
  redis.call('SET', KEYS[2], epoch)
end
value = math.max(value or 0, time[1] * 1000000 + time[2]) + tonumber(ARGV[4])
local token = string.format('%.0f', value)
redis.call('SET', KEYS[1], token)
return { token, epoch }
