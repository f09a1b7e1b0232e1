-- Forget tasks that the caller still leases. Nobody is told, and nothing keeps them from being queued again at once.
-- WITH     counting, holding, ceilings
-- KEYS     leases, tasks (prefix), lock (prefix), steps (prefix), quota (prefix), queue (prefix), pending (prefix)
-- ARGV     worker; then for each lease: id, fence
-- RETURNS  {"forgotten", ids}
local worker, reply = ARGV[1], { "forgotten" }
for at = 2, #ARGV, 2 do
  local id, fence = ARGV[at], ARGV[at + 1]
  local task, lock = KEYS[2] .. id, KEYS[3] .. id
  -- Below epoch 0 there is no fence: what an emptied queue holds nothing of is not the caller's to forget.
  if holds(redis.call("GET", lock), task, worker .. ":" .. fence, fence, 0) then
    redis.call("UNLINK", task, lock, KEYS[4] .. id)
    redis.call("ZREM", KEYS[1], id)
    reply[#reply + 1] = id
  end
end
local gone = { unpack(reply, 2) }
leave(KEYS[5], gone, KEYS[6], KEYS[7])
return reply
