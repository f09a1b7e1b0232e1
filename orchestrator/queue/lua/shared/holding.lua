-- Where tasks are held that may not be leased because their owner, a tenant or `{tenant}\0{type}`, runs its number: in
-- neither queue nor pending, but under the owner that is full, a sorted set for each queue, at their scores.

local function held_key(quota, owner, queue) return quota .. ":held:" .. owner .. "\0" .. queue end

-- Where a task is held, as {score, owner, queue}; nil when it is not.
local function held_at(quota, id, known)
  if redis.call("EXISTS", quota .. ":holders") == 0 then return nil end
  local owners = { known[3] .. "\0" .. known[4], known[3] }
  for _, owner in ipairs(owners) do
    local score = redis.call("ZSCORE", held_key(quota, owner, known[1]), id)
    if score then return { score, owner, known[1] } end
  end
  return nil
end
