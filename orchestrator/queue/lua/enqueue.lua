-- Put tasks in order, or aside until due. One that the queue holds already is left alone; one that is over is
-- replaced.
-- WITH     holding, placing
-- KEYS     queue (prefix), pending (prefix), scheduled, queues, epoch, tick, control, tasks (prefix), lock (prefix),
--          leases, quota (prefix)
-- ARGV     step_us; then for each task: id, queue, priority, ready_at_us or "", status while delayed, 1 if it was
--          restored (it counts to no epoch then) or 0, n, n fields and values of its hash
-- RETURNS  {"enqueued", 1 or 0 for each task}
local at, reply = 2, { "enqueued" }
while ARGV[at] do
  local kept, over = keeps(at)
  if not kept then put(at, over) end
  reply[#reply + 1] = kept and 0 or 1
  at = at + 7 + ARGV[at + 6]
end
open()
return reply
