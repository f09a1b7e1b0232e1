-- Count the leases of limited owners anew; once it is known whose all are, let tasks be leased, and those held come for
-- which there is room. Looks at each lease once.
-- WITH     counting, holding, ceilings
-- KEYS     quota (prefix), leases, tasks (prefix), epoch, queue (prefix), pending (prefix)
-- ARGV     most to let come, 1 if all leases are asserted or 0; then for each lease whose task is not known here: id,
--          tenant, type
-- RETURNS  {"recounted", how many came, ids of leases that nobody knows}
local ceilings, running, told = KEYS[1] .. ":ceilings", KEYS[1] .. ":running", {}
for at = 3, #ARGV, 3 do told[ARGV[at]] = { "", 0, ARGV[at + 1], ARGV[at + 2] } end
local gone, reply, came = {}, { "recounted", 0 }, 0
for _, id in ipairs(redis.call("HKEYS", running)) do
  if not redis.call("ZSCORE", KEYS[2], id) then gone[1] = id; strike(running, gone) end
end
for _, id in ipairs(redis.call("ZRANGE", KEYS[2], 0, -1)) do
  local record = redis.call("HGET", KEYS[3] .. id, "task")
  local known = record and facts(record) or told[id]
  if not known then
    reply[#reply + 1] = id
  elseif redis.call("HEXISTS", ceilings, known[3]) + redis.call("HEXISTS", ceilings, known[3] .. "\0" .. known[4]) > 0 then
    enrol(running, id, known[3], known[4])
  else
    gone[1] = id
    strike(running, gone)
  end
end
local epoch = read_epoch(KEYS[4], 0)
if ARGV[2] == "1" and not reply[3] and epoch and redis.call("EXISTS", ceilings) == 1 then redis.call("HSET", ceilings, "", epoch) end
for _, owner in ipairs(redis.call("SMEMBERS", KEYS[1] .. ":holders")) do
  local most = redis.call("HGET", ceilings, owner)
  local room = most and most - counted(running, owner) or math.huge
  if redis.call("EXISTS", ceilings) == 1 and redis.call("HGET", ceilings, "") ~= epoch then room = 0 end
  while room > 0 and came < tonumber(ARGV[1]) do
    local moved = release(KEYS[1], owner, KEYS[5], KEYS[6])
    if moved == 0 then break end
    room, came = room - 1, came + moved
  end
end
reply[2] = came
return reply
