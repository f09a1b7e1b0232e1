-- Let a paused queue be claimed from again, and tell the workers.
-- KEYS     paused, control
-- ARGV     queue name
-- RETURNS  {"resumed"}
redis.call("SREM", KEYS[1], ARGV[1])
redis.call("PUBLISH", KEYS[2], cjson.encode({ queue = ARGV[1] }))
return { "resumed" }
