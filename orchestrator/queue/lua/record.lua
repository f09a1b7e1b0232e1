-- Put records of running attempts in the outbox, while the lease is the worker's. Results of steps are kept beside.
-- KEYS     epoch, tasks (prefix), lock (prefix), outbox, steps (prefix)
-- ARGV     worker; then for each record: kind, id, fence, record, name of the step or "", its result
-- RETURNS  {"recorded", place of the last record or "", 1 or 0 for each}
local worker, epoch, reply = ARGV[1], read_epoch(KEYS[1], 0), { "recorded", "" }
for at = 2, #ARGV, 6 do
  local id, fence, step = ARGV[at + 1], ARGV[at + 2], ARGV[at + 4]
  local holder = redis.call("GET", KEYS[3] .. id)
  local mine = holds(holder, KEYS[2] .. id, worker .. ":" .. fence, fence, epoch)
  if mine then
    reply[2] = owe(KEYS[4], ARGV[at], id, fence, "", ARGV[at + 3])
    if step ~= "" then redis.call("HSET", KEYS[5] .. id, step, ARGV[at + 5]) end
  end
  reply[#reply + 1] = mine and 1 or 0
end
return reply
