-- Push back the deadline of every lease that is still the worker's; assert those again that an emptied queue forgot.
-- KEYS     leases, epoch, tasks (prefix), lock (prefix)
-- ARGV     worker, hold_ms; then for each lease: id, fence
-- RETURNS  {"extended", ids of the lost ones}
local worker, hold, locks, leases, reply = ARGV[1], ARGV[2], {}, {}, { "extended" }
local epoch = read_epoch(KEYS[2], 0)
local deadline = decimal(math.floor(now_us() / 1000) + hold)
for at = 3, #ARGV, 2 do locks[#locks + 1] = KEYS[4] .. ARGV[at] end
local holders = redis.call("MGET", unpack(locks))
for nth, lock in ipairs(locks) do
  local id, fence = ARGV[2 * nth + 1], ARGV[2 * nth + 2]
  local mine = worker .. ":" .. fence
  if holds(holders[nth], KEYS[3] .. id, mine, fence, epoch) then
    if redis.call("PEXPIRE", lock, hold) == 0 then redis.call("SET", lock, mine, "PX", hold) end
    leases[#leases + 1], leases[#leases + 2] = deadline, id
  else
    reply[#reply + 1] = id
  end
end
if leases[1] then redis.call("ZADD", KEYS[1], unpack(leases)) end
return reply
