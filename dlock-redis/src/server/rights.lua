#!lua flags=no-writes
-- Tells what this script's user may do, by redis.acl_check_cmd (Redis 7.0). ARGV: calls, each as words parted
-- by blanks. Returns 1 or 0 for each. The calls must be whole: servers look for keys and options behind the
-- end of those that are not.
local answers = {}
for i, call in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(call, '%S+') do
    table.insert(words, word)
  end
  -- A command that this server does not have raises an error.
  local known, allowed = pcall(redis.acl_check_cmd, unpack(words))
  answers[i] = (known and allowed) and 1 or 0
end
return answers
