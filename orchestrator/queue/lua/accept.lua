-- Put tasks in order as enqueue does while Postgres is away, each with its record in the outbox. One whose key another
-- task holds is not put in; its row, if it may have one, is taken back.
-- WITH     holding, placing, keyhold
-- KEYS     queue (prefix), pending (prefix), scheduled, queues, epoch, tick, control, tasks (prefix), lock (prefix),
--          leases, quota (prefix), key (prefix), outbox
-- ARGV     step_us, deadline_us; then for each task as of enqueue, and behind it: name of its key or "", `{id} {fingerprint} {u|f}`, hold_ms, record,
--          what takes its row back, less the holder's id, or ""
-- RETURNS  {"accepted", place of the last record or "", 1 or the holder's hold for each task} | {"late"}
-- A server that was frozen finds what nobody waits for any more.
if now > tonumber(ARGV[2]) then return { "late" } end
local at, reply = 3, { "accepted", "" }
while ARGV[at] do
  local id, tail = ARGV[at], at + 7 + ARGV[at + 6]
  local name, answer, state, hold = ARGV[tail], 1, "free", nil
  local kept, over = keeps(at)
  if name ~= "" then state, hold = holding(KEYS[12] .. name, id, KEYS[8]) end
  if kept or over or state == "mine" then
    answer = 1 -- by an earlier call
  elseif hold then
    answer = hold
    -- Beside a key that Postgres judges there is no such row, or it is the one that counts.
    if state == "owed" and ARGV[tail + 4] ~= "" then
      reply[2] = owe(KEYS[13], "withdraw", id, "0", "", ARGV[tail + 4] .. string.match(hold, "^%S+"))
    end
  else
    put(at)
    if name ~= "" then redis.call("SET", KEYS[12] .. name, ARGV[tail + 1] .. " o", "PX", ARGV[tail + 2]) end
    reply[2] = owe(KEYS[13], "insert", id, "0", name, ARGV[tail + 3])
    redis.call("HSET", KEYS[8] .. id, "asked", reply[2])
  end
  reply[#reply + 1] = answer
  at = tail + 5
end
open()
-- A repeat writes too: only behind a write of its own does WAITAOF wait for what it found.
redis.call("SET", KEYS[6], decimal(tick - 1))
return reply
