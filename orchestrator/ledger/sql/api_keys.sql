-- name: add_key
-- No row comes back when the id is taken.
insert into orchestrator_api_keys (id, tenant, name, env, hash, scopes, created_at, created_by, expires_at)
values ($1::text, $2::text, $3::text, $4::text, $5::bytea, $6::text[], $7::timestamptz, $8::text, $9::timestamptz)
on conflict (id) do nothing
returning id

-- name: key
-- Whose it is, is not known yet: this is how a caller is recognised.
select {key}
from orchestrator_api_keys
where id = $1::text

-- name: keys_of
-- For chores: of any tenants.
select {key}
from orchestrator_api_keys
where id = any($1::text[])

-- name: keys
select {key}
from orchestrator_api_keys
where tenant = $1::text and ($2::timestamptz is null or (created_at, id) < ($2::timestamptz, $3::text))
order by created_at desc, id desc
limit $4::integer

-- name: revoke_key
update orchestrator_api_keys
set revoked_at = coalesce(revoked_at, $3::timestamptz)
where tenant = $1::text and id = $2::text
returning {key}

-- name: revoke_keys
-- What was revoked while Postgres was away.
update orchestrator_api_keys k
set revoked_at = least(k.revoked_at, given.at)
from unnest($1::text[], $2::timestamptz[]) as given (id, at)
where k.id = given.id

-- name: rotate_key
-- The old key ends with the overlap; the new one has its name, its scopes and its environment. Nothing happens to a key
-- that does not open anything any more, or has a successor.
with old as (
  update orchestrator_api_keys
  set rotated_to = $3::text, expires_at = least(expires_at, $7::timestamptz)
  where tenant = $1::text and id = $2::text and rotated_to is null and revoked_at is null
    and (expires_at is null or expires_at > $5::timestamptz)
    and not exists (select from orchestrator_api_keys where id = $3::text)
  returning tenant, name, env, scopes
)
insert into orchestrator_api_keys (id, tenant, name, env, hash, scopes, created_at, created_by, expires_at)
select $3::text, tenant, name, env, $4::bytea, scopes, $5::timestamptz, $6::text, $8::timestamptz
from old
returning {key}

-- name: note_use
-- At most once a minute for each key, however many processes it is used at.
update orchestrator_api_keys k
set last_used_at = given.at
from unnest($1::text[], $2::timestamptz[]) as given (id, at)
where k.id = given.id and (k.last_used_at is null or k.last_used_at < given.at - interval '1 minute')
