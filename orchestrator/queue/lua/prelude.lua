-- What the scripts share; put in front of each of them. Time is Redis' own, in microseconds.
local SPAN = 2 ^ 36

local function now_us()
  local time = redis.call("TIME")
  return time[1] * 1000000 + time[2]
end

-- A whole number as text, exactly: Lua's own conversion keeps 14 digits.
local function decimal(number) return string.format("%d", number) end

-- A queue's key: the default queue has the bare name.
local function named(prefix, queue)
  if queue == "default" then return prefix end
  return prefix .. ":" .. queue
end

-- The history of writes that this server continues: it is another one after a restart, a failover, or a time as a
-- replica, and writes may be lost.
local function server()
  local info = redis.pcall("INFO", "replication")
  return type(info) == "string" and string.match(info, "master_replid:(%x+)") or ""
end

-- The open epoch and its last fence, if there is one with room for `count` more; otherwise nil.
local function read_epoch(key, count)
  local row = redis.call("HMGET", key, "epoch", "counter", "server")
  if not row[1] or row[3] ~= server() or row[2] + count >= SPAN then return nil end
  return row[1], row[1] * SPAN + row[2]
end

-- What never changes of a task: queue, priority, tenant, type, ... and last the moment it expires.
local function facts(record) return cjson.decode(record) end

-- The moment a task expires if it has not started.
local function expires(record) return tonumber(facts(record)[8]) or math.huge end

-- Whether a lease is still the caller's: its lock says so, or the lock ran out and nobody took over, or the
-- queue was emptied under a fence of an earlier epoch. `holder` is what the lock holds, if there is one.
local function holds(holder, task, mine, fence, epoch)
  if holder then return holder == mine end
  local lease = redis.call("HGET", task, "lease")
  if lease then return string.sub(lease, 1, #mine + 1) == mine .. " " end
  return redis.call("EXISTS", task) == 0 and (not epoch or tonumber(fence) < epoch * SPAN)
end

-- Remember that a queue exists, and tell the workers that serve all queues.
local function know(queues, control, queue)
  if redis.call("SADD", queues, queue) == 1 then redis.call("PUBLISH", control, cjson.encode({ queue = queue })) end
end

-- Which of these channels somebody listens to, as {channel, listeners, ...}: most tasks run unwatched, and asking
-- for all at once is cheaper than telling nobody.
local function listeners(channels)
  return redis.call("PUBSUB", "NUMSUB", unpack(channels))
end

local STATUS = '{"fence":"%s","number":%d,"kind":"status","data":{"status":"%s","attempt":%d},"at":%d}'
local function tell(channel, fence, number, status, attempt, at_us)
  redis.call("PUBLISH", channel, string.format(STATUS, fence, number, status, attempt, at_us))
end

-- Append a record to the outbox; its place.
local function owe(outbox, kind, id, fence, key, record)
  return redis.call("XADD", outbox, "*", "kind", kind, "task", id, "fence", fence, "key", key, "record", record)
end
