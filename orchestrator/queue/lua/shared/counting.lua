-- Which tasks count against a limit. `kind` is a registry, hash id -> owner; behind it stand sets of the ids by tenant,
-- and by tenant and type. An owner is `{tenant}\0{type}`. Who is in twice counts once.

local function counted(kind, owner) return redis.call("SCARD", kind .. ":" .. owner) end

local function tenant_of(owner) return string.match(owner, "^[^%z]+") end

local function enrol(kind, id, tenant, type_name)
  local owner = tenant .. "\0" .. type_name
  redis.call("HSET", kind, id, owner)
  redis.call("SADD", kind .. ":" .. tenant, id)
  redis.call("SADD", kind .. ":" .. owner, id)
end

-- Take ids out; returns the owner of each that was in.
local function strike(kind, ids)
  local struck = {}
  if not ids[1] or redis.call("EXISTS", kind) == 0 then return struck end
  for nth, owner in ipairs(redis.call("HMGET", kind, unpack(ids))) do
    if owner then
      redis.call("HDEL", kind, ids[nth])
      redis.call("SREM", kind .. ":" .. tenant_of(owner), ids[nth])
      redis.call("SREM", kind .. ":" .. owner, ids[nth])
      struck[#struck + 1] = owner
    end
  end
  return struck
end
