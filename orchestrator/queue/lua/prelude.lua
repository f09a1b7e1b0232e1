-- What the scripts share; put in front of each of them. Time is Redis' own, in microseconds.
local SPAN = 2 ^ 36

local function now_us()
  local time = redis.call("TIME")
  return time[1] * 1000000 + time[2]
end

local function decimal(number) return string.format("%.0f", number) end

-- A queue's key: the default queue has the bare name.
local function named(prefix, queue)
  if queue == "default" then return prefix end
  return prefix .. ":" .. queue
end

-- The run of the server this is: after a restart or a failover it is another one, and writes may be lost.
local function server()
  local info = redis.pcall("INFO", "server")
  return type(info) == "string" and string.match(info, "run_id:(%x+)") or ""
end

-- The open epoch and its last fence, if there is one with room for `count` more; otherwise nil.
local function read_epoch(key, count)
  local row = redis.call("HMGET", key, "epoch", "counter", "server")
  if not row[1] or row[3] ~= server() or row[2] + count >= SPAN then return nil end
  return row[1], row[1] * SPAN + row[2]
end

-- Whether a lease is still the caller's: its lock says so, or the lock ran out and nobody took over, or the
-- queue was emptied under a fence of an earlier epoch.
local function holds(lock, task, mine, fence, epoch)
  local lease = redis.call("GET", lock) or redis.call("HGET", task, "lease")
  if lease then return lease == mine end
  return redis.call("EXISTS", task) == 0 and (not epoch or tonumber(fence) < epoch * SPAN)
end

-- Remember that a queue exists, and tell the workers that serve all queues.
local function know(queues, control, queue)
  if redis.call("SADD", queues, queue) == 1 then redis.call("PUBLISH", control, cjson.encode({ queue = queue })) end
end

local STATUS = '{"fence":"%s","number":%d,"kind":"status","data":{"status":"%s","attempt":%d},"at":null}'
local function tell(channel, fence, number, status, attempt)
  redis.call("PUBLISH", channel, string.format(STATUS, fence, number, status, attempt))
end
