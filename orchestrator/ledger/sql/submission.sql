-- name: insert
-- A column that has one value for all rows may come with that value alone. Ids come as text, which is encoded sooner.
-- The last argument leaves the keys to whoever holds them.
insert into orchestrator_tasks (
  id, tenant, type, status, queue, priority, payload, tags, max_retries, timeout_seconds, idempotency_key, key_held,
  key_until_final, key_expires_at, fingerprint, parent_id, called, delayed, run_at, expires_at, created_at,
  traceparent, callback_url
)
select
  n.id::uuid, coalesce(n.tenant, ($2::text[])[1]), coalesce(n.type, ($3::text[])[1]),
  case when n.run_at is null then 'queued'::orchestrator_state else 'scheduled' end,
  coalesce(n.queue, ($4::text[])[1]), coalesce(n.priority, ($5::smallint[])[1]), n.payload::json,
  coalesce(n.tags::jsonb, '{}'), coalesce(n.max_retries, ($8::integer[])[1]),
  coalesce(n.timeout_seconds, ($9::float8[])[1]), n.idempotency_key,
  n.idempotency_key is not null and not $21::boolean, coalesce(n.key_until_final, false), n.key_expires_at,
  n.fingerprint, n.parent_id, coalesce(n.called, false), n.run_at is not null, n.run_at, n.expires_at, n.created_at,
  n.traceparent, n.callback_url
from unnest(
  $1::text[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::text[], $7::text[], $8::integer[], $9::float8[],
  $10::text[], $11::boolean[], $12::timestamptz[], $13::bytea[], $14::uuid[], $15::timestamptz[], $16::timestamptz[],
  $17::timestamptz[], $18::text[], $19::boolean[], $20::text[]
) as n (
  id, tenant, type, queue, priority, payload, tags, max_retries, timeout_seconds,
  idempotency_key, key_until_final, key_expires_at, fingerprint, parent_id, run_at, expires_at,
  created_at, traceparent, called, callback_url
)
on conflict do nothing

-- name: insert_delivered
-- The same for webhook deliveries, each with its record: both are stored or neither. A record whose task does not answer
-- for its key any more goes over to the new one.
with stored as (
{insert}
returning id, tenant, created_at
)
insert into orchestrator_deliveries as d (
  id, tenant, source, delivery_id, event, scheme, secret, task_id, received_at, seen_at
)
select distinct on (s.tenant, a.source, a.delivery_id)
  s.id, s.tenant, a.source, a.delivery_id, a.event, a.scheme, a.secret, s.id, s.created_at, s.created_at
from unnest($1::text[], $22::text[], $23::text[], $24::text[], $25::text[], $26::smallint[])
  as a (id, source, delivery_id, event, scheme, secret)
join stored s on s.id = a.id::uuid
order by s.tenant, a.source, a.delivery_id, s.id
on conflict (tenant, source, delivery_id) do update set task_id = excluded.task_id
where not exists (select from orchestrator_tasks t where t.id = d.task_id and t.key_held)

-- name: holders
-- Who stands in the way of each row: the row itself, from an earlier try, or the holder of its key.
select
  exists (select from orchestrator_tasks t where t.id = n.id) as stored,
  h.id::text,
  h.fingerprint,
  coalesce(h.key_expires_at <= now(), false) as expired
from unnest($2::uuid[], $3::text[]) with ordinality as n (id, idempotency_key, place)
left join orchestrator_tasks h on h.tenant = $1::text and h.idempotency_key = n.idempotency_key and h.key_held
order by n.place

-- name: release
with held as materialized (
  select id
  from orchestrator_tasks
  where tenant = $1::text and id = any($2::uuid[]) and key_held and key_expires_at <= now()
  order by id
  for no key update
)
update orchestrator_tasks t set key_held = false from held h where t.id = h.id
