-- Take a place for each new task under all of its limits, or under none of them. What has to come takes its place
-- though there is none. Nothing is taken while a count is not known: it is to be made first.
-- WITH     counting
-- KEYS     quota (prefix)
-- ARGV     day; then for each task: id, tenant, type, 1 if it has to come or 0, and the limits or "": of the day for
--          tenant and type, of what waits for tenant and type
-- RETURNS  {"taken", for each 0, or which of its limits is reached, from 1} | {"unknown", tenants}
local day, known, waiting = KEYS[1] .. ":day:" .. ARGV[1] .. ":", KEYS[1] .. ":known", KEYS[1] .. ":waiting"
local unknown = { "unknown" }
for at = 2, #ARGV, 8 do
  local tenant = ARGV[at + 1]
  local days, waits = ARGV[at + 4] .. ARGV[at + 5] ~= "", ARGV[at + 6] .. ARGV[at + 7] ~= ""
  if
    days and redis.call("EXISTS", day .. tenant) == 0 or waits and redis.call("SISMEMBER", known, tenant) == 0
  then
    unknown[#unknown + 1] = tenant
  end
end
if unknown[2] then return unknown end

local reply = { "taken" }
for at = 2, #ARGV, 8 do
  local id, tenant, type_name = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local days, waits = ARGV[at + 4] .. ARGV[at + 5] ~= "", ARGV[at + 6] .. ARGV[at + 7] ~= ""
  local counts, full = { 0, 0, 0, 0 }, 0
  if days then counts[1], counts[2] = unpack(redis.call("HMGET", day .. tenant, "", type_name)) end
  if waits then counts[3], counts[4] = counted(waiting, tenant), counted(waiting, tenant .. "\0" .. type_name) end
  for which = 4, 1, -1 do
    local most = ARGV[at + 3 + which]
    if ARGV[at + 3] == "0" and most ~= "" and tonumber(counts[which] or 0) >= tonumber(most) then full = which end
  end
  if full == 0 then
    if days then
      redis.call("HINCRBY", day .. tenant, "", 1)
      redis.call("HINCRBY", day .. tenant, type_name, 1)
    end
    if waits then enrol(waiting, id, tenant, type_name) end
  end
  reply[#reply + 1] = full
end
return reply
