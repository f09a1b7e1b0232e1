-- Return ids that were popped but never leased to their places. They are at the head of pending, absent in queue.
-- KEYS     queues, queue (prefix), pending (prefix)
-- ARGV     limit: how far to look into each queue
-- RETURNS  {"put_back", ids}
local reply = { "put_back" }
for _, name in ipairs(redis.call("SMEMBERS", KEYS[1])) do
  local queue, pending = named(KEYS[2], name), named(KEYS[3], name)
  if redis.call("ZCARD", queue) < redis.call("ZCARD", pending) then
    local head = redis.call("ZRANGE", pending, 0, ARGV[1] - 1, "WITHSCORES")
    for at = 1, #head, 2 do
      if redis.call("ZADD", queue, "NX", head[at + 1], head[at]) == 1 then reply[#reply + 1] = head[at] end
    end
  end
end
return reply
