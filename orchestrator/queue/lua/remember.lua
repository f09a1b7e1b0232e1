-- Put tasks in order as enqueue does, and remember the keys that they hold in Postgres. One whose key is held by a
-- task that Postgres does not have yet is not put in.
-- WITH     holding, placing, keyhold
-- KEYS     queue (prefix), pending (prefix), scheduled, queues, epoch, tick, control, tasks (prefix), lock (prefix),
--          leases, quota (prefix), key (prefix)
-- ARGV     as of enqueue, and behind each task: name of its key or "", `{id} {fingerprint} {u|f}`, hold_ms
-- RETURNS  {"enqueued", 1 or 0 or the holder's hold for each task}
local at, reply = 2, { "enqueued" }
while ARGV[at] do
  local id, tail = ARGV[at], at + 7 + ARGV[at + 6]
  local key = ARGV[tail] ~= "" and KEYS[12] .. ARGV[tail]
  local kept, over = keeps(at)
  local state, hold = "free", nil
  if key then state, hold = holding(key, id, KEYS[8]) end
  if kept then
    reply[#reply + 1] = 0
  elseif state == "owed" then
    reply[#reply + 1] = hold
  else
    put(at, over)
    reply[#reply + 1] = 1
  end
  if key and state ~= "owed" then redis.call("SET", key, ARGV[tail + 1] .. " p", "PX", ARGV[tail + 2]) end
  at = tail + 3
end
open()
return reply
