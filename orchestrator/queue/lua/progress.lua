-- Note how far attempts have come, on the tasks they still hold.
-- KEYS     tasks (prefix)
-- ARGV     for each task: id, fence, progress (JSON)
-- RETURNS  {"noted"}
for at = 1, #ARGV, 3 do
  local task = KEYS[1] .. ARGV[at]
  local lease = redis.call("HGET", task, "lease")
  if lease and string.match(lease, ":(%d+) ") == ARGV[at + 1] then redis.call("HSET", task, "progress", ARGV[at + 2]) end
end
return { "noted" }
