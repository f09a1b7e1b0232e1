-- Let one request pass if all of its rates allow it (GCRA); it counts against each of them then, otherwise against none.
-- KEYS     rate (prefix)
-- ARGV     for each rate: key, interval_us, capacity_us
-- RETURNS  {"passed", {left, reset_us, retry_us} for each} | {"refused", the same}
local now, reply, due = now_us(), { "passed" }, {}
for at = 1, #ARGV, 3 do
  due[at] = math.max(tonumber(redis.call("GET", KEYS[1] .. ARGV[at]) or 0), now) + ARGV[at + 1]
  if due[at] - now > tonumber(ARGV[at + 2]) then reply[1] = "refused" end
end
for at = 1, #ARGV, 3 do
  local ahead, retry = due[at] - now, 0
  if reply[1] == "passed" then
    redis.call("SET", KEYS[1] .. ARGV[at], decimal(due[at]), "PX", decimal(math.ceil(ahead / 1000)))
  else
    retry = math.max(0, ahead - ARGV[at + 2])
    ahead = ahead - ARGV[at + 1]
  end
  reply[#reply + 1] = { math.floor((ARGV[at + 2] - ahead) / ARGV[at + 1]), ahead, retry }
end
return reply
