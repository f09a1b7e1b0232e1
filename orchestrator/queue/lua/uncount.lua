-- Take tasks out of what waits.
-- WITH     counting
-- KEYS     quota (prefix)
-- ARGV     ids
-- RETURNS  {"uncounted"}
strike(KEYS[1] .. ":waiting", ARGV)
return { "uncounted" }
