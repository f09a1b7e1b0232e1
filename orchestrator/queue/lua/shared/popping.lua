-- What a pop took: an id that was popped and never leased stands in pending and not in queue, and, both having the same
-- order, at the head of pending.

-- The one task of these queues that was popped and not leased, as name, id. Where there are several, or a task before
-- it came meanwhile, id is nil: then only who popped knows which is his.
local function find_popped(queues, pendings, ...)
  local astray, name = 0, nil
  for _, each in ipairs({ ... }) do
    local here = redis.call("ZCARD", named(pendings, each)) - redis.call("ZCARD", named(queues, each))
    if here > 0 then astray, name = astray + here, each end
  end
  if astray ~= 1 then return name, nil end
  local head = redis.call("ZRANGE", named(pendings, name), 0, 0)[1]
  return name, not redis.call("ZSCORE", named(queues, name), head) and head or nil
end
