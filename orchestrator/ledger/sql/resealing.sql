-- Stale is a value under another key than the newest, and one that is plain although its tenant is encrypted. Of the
-- statements that look, the last arguments are how a sealed value begins, how one under the newest key does, and the
-- tenants that are encrypted, or `*`.

-- name: page_end
select id::text
from (select id from orchestrator_tasks where id > $1::uuid order by id limit $2::integer) as page
order by page.id desc
limit 1

-- name: stale
-- What is stored of a status that somebody gave a task holds nothing of a handler's.
with page as materialized (
  select id, tenant, payload, result, error, progress
  from orchestrator_tasks
  where id > $1::uuid and id <= $2::uuid
), found (place, task_id, tenant, fence, number, name, value) as (
  select 'payload', id, tenant, 0::bigint, 0, '', payload::text from page
  union all select 'result', id, tenant, 0, 0, '', result::text from page
  union all select 'error', id, tenant, 0, 0, '', (error -> 'message')::text from page
  union all select 'progress', id, tenant, 0, 0, '', progress::text from page
  union all
  select 'run', r.task_id, r.tenant, r.fence, 0, '', (r.error -> 'message')::text
  from page p join orchestrator_runs r on r.task_id = p.id
  union all
  select 'step', s.task_id, s.tenant, s.fence, 0, s.name, s.result::text
  from page p join orchestrator_steps s on s.task_id = p.id
  union all
  select 'event', e.task_id, e.tenant, e.fence, e.number, e.kind, e.data::text
  from page p join orchestrator_events e on e.task_id = p.id and e.kind <> 'status'
)
select place, task_id::text, tenant, fence, number, name, value
from found
where not starts_with(value, $5::text)
  and (starts_with(value, $4::text) or tenant = any($6::text[]) or '*' = any($6::text[]))
limit $3::integer

-- name: stale_fingerprints
-- A plain one has 32 bytes.
select id::text, tenant, idempotency_key, fingerprint
from orchestrator_tasks
where id > $1::uuid and id <= $2::uuid and idempotency_key is not null
  and not (octet_length(fingerprint) > 32 and substring(fingerprint for octet_length($3::bytea)) = $3::bytea)
  and (octet_length(fingerprint) > 32 or tenant = any($4::text[]) or '*' = any($4::text[]))

-- name: stale_callbacks
-- An ending is told of with the values that its task had when it ended.
select count(*)
from orchestrator_callbacks c
where exists (
  select from unnest(array[c.result::text, (c.told #> '{error,message}')::text]) as v (value)
  where not starts_with(value, $2::text)
    and (starts_with(value, $1::text) or c.tenant = any($3::text[]) or '*' = any($3::text[]))
)

-- name: reseal_tasks
-- Here and below: what somebody wrote meanwhile stands.
with held as materialized (
  select id from orchestrator_tasks where id = any($1::uuid[]) order by id for no key update
), n as (
  select v.id,
    max(v.before) filter (where v.place = 'payload') as payload_before,
    max(v.value) filter (where v.place = 'payload') as payload,
    max(v.before) filter (where v.place = 'result') as result_before,
    max(v.value) filter (where v.place = 'result') as result,
    max(v.before) filter (where v.place = 'error') as message_before,
    max(v.value) filter (where v.place = 'error') as message,
    max(v.before) filter (where v.place = 'progress') as progress_before,
    max(v.value) filter (where v.place = 'progress') as progress
  from unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) as v (id, place, before, value)
  join held h on h.id = v.id
  group by v.id
)
update orchestrator_tasks t
set payload = case when t.payload::text = n.payload_before then n.payload::json else t.payload end,
  result = case when t.result::text = n.result_before then n.result::json else t.result end,
  error = case when (t.error -> 'message')::text = n.message_before
    then jsonb_set(t.error, '{message}', n.message::jsonb) else t.error end,
  progress = case when t.progress::text = n.progress_before then n.progress::json else t.progress end
from n
where t.id = n.id

-- name: reseal_fingerprints
with held as materialized (
  select id from orchestrator_tasks where id = any($1::uuid[]) order by id for no key update
)
update orchestrator_tasks t
set fingerprint = n.value
from unnest($1::uuid[], $2::bytea[], $3::bytea[]) as n (id, before, value)
join held h on h.id = n.id
where t.id = n.id and t.fingerprint = n.before

-- name: reseal_runs
with held as materialized (
  select id from orchestrator_tasks where id = any($1::uuid[]) order by id for no key update
)
update orchestrator_runs r
set error = jsonb_set(r.error, '{message}', n.value::jsonb)
from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[]) as n (task_id, fence, before, value)
join held h on h.id = n.task_id
where r.task_id = n.task_id and r.fence = n.fence and (r.error -> 'message')::text = n.before

-- name: reseal_steps
with held as materialized (
  select id from orchestrator_tasks where id = any($1::uuid[]) order by id for no key update
)
update orchestrator_steps s
set result = n.value::json
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) as n (task_id, name, before, value)
join held h on h.id = n.task_id
where s.task_id = n.task_id and s.name = n.name and s.result::text = n.before

-- name: reseal_events
with held as materialized (
  select id from orchestrator_tasks where id = any($1::uuid[]) order by id for no key update
)
update orchestrator_events e
set data = n.value::json
from unnest($1::uuid[], $2::bigint[], $3::integer[], $4::text[], $5::text[])
  as n (task_id, fence, number, before, value)
join held h on h.id = n.task_id
where e.task_id = n.task_id and e.fence = n.fence and e.number = n.number and e.data::text = n.before
