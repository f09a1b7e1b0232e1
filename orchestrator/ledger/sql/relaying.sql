-- name: withdraw
-- Both rows of every pair are locked first, in the order of their ids, as every batch locks them.
with held as materialized (
  select id
  from orchestrator_tasks
  where id = any($1::uuid[] || $2::uuid[])
  order by id
  for update
), withdrawn as (
  delete from orchestrator_tasks t
  using held h
  join unnest($1::uuid[], $2::uuid[]) as w (id, holder) on w.id = h.id
  where t.id = h.id and t.status < 'running' and t.fence = 0 and t.attempt = 0
  returning w.holder, t.tenant, t.idempotency_key, t.fingerprint, t.key_held
)
update orchestrator_tasks t
set key_held = true
from withdrawn w
where t.id = w.holder and w.key_held and t.tenant = w.tenant and t.idempotency_key = w.idempotency_key
  and t.fingerprint = w.fingerprint and not (t.key_until_final and t.status >= 'succeeded')

-- name: save_steps
-- Of several results for one name the newest attempt's counts, and of that attempt the first.
with held as materialized (
  select id, tenant, fence
  from orchestrator_tasks
  where id = any($1::uuid[]) and status < 'succeeded'
  order by id
  for no key update
), accepted as materialized (
  select n.*, h.tenant
  from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[]) with ordinality as n (id, fence, name, result, place)
  join held h on h.id = n.id and h.fence <= n.fence
  where not exists (
    select from orchestrator_steps s where s.task_id = n.id and s.name = n.name and s.fence > n.fence)
), stored as (
  insert into orchestrator_steps as s (task_id, name, tenant, fence, result)
  select distinct on (id, name) id, name, tenant, fence, result::json from accepted
  order by id, name, fence desc, place
  on conflict (task_id, name) do update
    set fence = excluded.fence, result = excluded.result, finished_at = now()
    where s.fence < excluded.fence
)
select coalesce(array_agg(place), '{}') from accepted

-- name: repeated
-- Which of these writes, refused now, were accepted earlier.
select coalesce(array_agg(w.place), '{}')
from unnest($1::text[], $2::uuid[], $3::bigint[], $4::text[], $5::integer[])
  with ordinality as w (kind, id, fence, name, number, place)
where case w.kind
  when 'start' then exists (select from orchestrator_runs r where r.task_id = w.id and r.fence = w.fence)
  when 'tell' then exists (
    select from orchestrator_events e where e.task_id = w.id and e.fence = w.fence and e.number = w.number)
  when 'step' then exists (
    select from orchestrator_steps s where s.task_id = w.id and s.name = w.name and s.fence = w.fence)
  when 'settle' then exists (
    select from orchestrator_runs r
    where r.task_id = w.id and coalesce(r.ended_by, r.fence) = w.fence and r.becomes is not null)
end
