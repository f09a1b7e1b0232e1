-- Put lines of the audit in the outbox.
-- KEYS     outbox
-- ARGV     for each line: id, record
-- RETURNS  {"appended", place of the last record or ""}
local reply = { "appended", "" }
for at = 1, #ARGV, 2 do reply[2] = owe(KEYS[1], "audit", ARGV[at], "0", "", ARGV[at + 1]) end
return reply
