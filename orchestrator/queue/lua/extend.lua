-- Push back the deadline of every lease that is still the worker's; assert those again that an emptied queue forgot.
-- KEYS     leases, epoch, tasks (prefix), lock (prefix)
-- ARGV     worker, hold_ms; then for each lease: id, fence
-- RETURNS  {"extended", ids of the lost ones}
local worker, hold, reply, leases = ARGV[1], ARGV[2], { "extended" }, {}
local epoch = read_epoch(KEYS[2], 0)
local deadline = decimal(math.floor(now_us() / 1000) + hold)
for at = 3, #ARGV, 2 do
  local id, fence = ARGV[at], ARGV[at + 1]
  local lock, mine = KEYS[4] .. id, worker .. ":" .. fence
  if holds(lock, KEYS[3] .. id, mine, fence, epoch) then
    redis.call("SET", lock, mine, "PX", hold)
    leases[#leases + 1], leases[#leases + 2] = deadline, id
  else
    reply[#reply + 1] = id
  end
end
if leases[1] then redis.call("ZADD", KEYS[1], unpack(leases)) end
return reply
