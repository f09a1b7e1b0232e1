-- How many tasks of an owner are leased at once, and what comes when one of them ends. Behind counting and holding.

local function keep_back(quota, owner, queue, id, score)
  redis.call("ZADD", held_key(quota, owner, queue), score, id)
  redis.call("SADD", quota .. ":holding:" .. owner, queue)
  redis.call("SADD", quota .. ":holders", owner)
end

-- Let the first that is held here be popped again; 1 if there was one.
local function readmit(held, queue, pending)
  local first = redis.call("ZPOPMIN", held)
  if not first[1] then return 0 end
  redis.call("ZADD", queue, first[2], first[1])
  redis.call("ZADD", pending, first[2], first[1])
  return 1
end

-- The same in each queue in which an owner's are held: a queue that nobody serves keeps none of the others waiting.
local function release(quota, owner, queues, pendings)
  local holding, count = quota .. ":holding:" .. owner, 0
  for _, queue in ipairs(redis.call("SMEMBERS", holding)) do
    local held = held_key(quota, owner, queue)
    count = count + readmit(held, named(queues, queue), named(pendings, queue))
    if redis.call("EXISTS", held) == 0 then redis.call("SREM", holding, queue) end
  end
  if redis.call("EXISTS", holding) == 0 then redis.call("SREM", quota .. ":holders", owner) end
  return count
end

-- Count a task in that is about to be leased; false for one that is held instead, out of this queue. Until what runs was
-- counted in this epoch, nothing limited is leased.
local function seat(quota, epoch, id, score, known, queue, pending)
  local running, tenant, owner, full = quota .. ":running", known[3], known[3] .. "\0" .. known[4], nil
  local most = redis.call("HMGET", quota .. ":ceilings", tenant, owner, "")
  if not most[1] and not most[2] then return true end
  local room = not most[1] or counted(running, tenant) < tonumber(most[1])
  if most[2] and counted(running, owner) >= tonumber(most[2]) then full = owner end
  if most[3] ~= epoch or (not full and not room) then full = tenant end
  if not full then
    enrol(running, id, tenant, known[4])
    return true
  end
  redis.call("ZREM", pending, id)
  keep_back(quota, full, known[1], id, score)
  -- Its type is full and its tenant is not: the next of the tenant may have another.
  if full == owner and room then readmit(held_key(quota, tenant, known[1]), queue, pending) end
  return false
end

-- Of leases that ended, and of tasks that wait no more: where one gave its place up, the next may come.
local function leave(quota, ids, queues, pendings)
  strike(quota .. ":waiting", ids)
  for _, owner in ipairs(strike(quota .. ":running", ids)) do
    release(quota, tenant_of(owner), queues, pendings)
    release(quota, owner, queues, pendings)
  end
end
