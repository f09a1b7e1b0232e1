-- name: act_for
-- The tenant as the policies read it, until the end of the transaction. The argument is put in as text, so that the
-- statement travels with others.
select set_config('request.jwt.claims', $1, true)
