-- name: withdraw
-- Whoever read such a row may have answered with it, so it is ended and not deleted. Both rows of every pair are locked
-- first, in the order of their ids, as every batch locks them.
with held as materialized (
  select id, key_held as held_key
  from orchestrator_tasks
  where id = any($1::uuid[] || $2::uuid[])
  order by id
  for update
), withdrawn as (
  update orchestrator_tasks t
  set status = 'cancelled', key_held = false, finished_at = now(), error = jsonb_build_object(
    'type', 'superseded', 'message', concat('the same was accepted as task ', w.holder, ' while Postgres was away'),
    'retryable', false, 'fingerprint', 'superseded')
  from held h
  join unnest($1::uuid[], $2::uuid[]) as w (id, holder) on w.id = h.id
  where t.id = h.id and t.status < 'running' and t.fence = 0 and t.attempt = 0
  returning t.id, w.holder, t.tenant, t.idempotency_key, t.fingerprint, h.held_key
), moved as (  -- the record of a webhook delivery
  update orchestrator_deliveries d set task_id = w.holder
  from withdrawn w
  where d.id = w.id and d.task_id = w.id and w.holder is not null
)
update orchestrator_tasks t
set key_held = true
from withdrawn w
where t.id = w.holder and w.held_key and t.tenant = w.tenant and t.idempotency_key = w.idempotency_key
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

-- name: late_runs
-- Runs that ended before a newer attempt wrote, and come behind it: the history has them, the task's row stays. What a
-- newer start guessed of such a run gives way to what was seen. Of a run that began after the task's end nothing is kept.
insert into orchestrator_runs as r (task_id, fence, tenant, attempt, status, worker_id, started_at, finished_at, error,
  becomes, ended_by)
select e.id, e.run, t.tenant, e.run_attempt, e.ending::orchestrator_run_status, e.worker,
  'epoch'::timestamptz + e.started_us * interval '1 us', 'epoch'::timestamptz + e.ended_us * interval '1 us',
  e.error::jsonb, e.state::orchestrator_state, nullif(e.fence, e.run)
from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::integer[], $7::text[], $8::bigint[],
    $9::bigint[], $10::text[])
  as e (id, fence, run, state, ending, run_attempt, worker, started_us, ended_us, error)
join orchestrator_tasks t on t.id = e.id
where e.ending in ('failed', 'released', 'crashed') and e.fence < t.fence
on conflict (task_id, fence) do update set status = excluded.status, finished_at = excluded.finished_at,
  error = excluded.error, becomes = excluded.becomes, ended_by = excluded.ended_by where r.becomes is null

-- name: late_events
insert into orchestrator_events (task_id, fence, number, tenant, kind, data, at)
select e.id, e.fence, e.number, t.tenant, e.kind, e.data::json, e.at
from unnest($1::uuid[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::timestamptz[])
  as e (id, fence, number, kind, data, at)
join orchestrator_tasks t on t.id = e.id
on conflict do nothing
