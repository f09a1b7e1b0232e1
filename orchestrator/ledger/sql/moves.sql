-- name: cancel
with held as materialized (
  select id, status as was, fence as before
  from orchestrator_tasks
  where tenant = $1::text and id = $2::uuid and fence <= $3::bigint and status < 'succeeded'
  for no key update
), ended as (
  update orchestrator_tasks t
  set status = 'cancelled', fence = $3::bigint, finished_at = now(), key_held = key_held and not key_until_final
  from held h
  where t.id = h.id
  returning t.*, h.was, h.before
), recorded as (
  insert into orchestrator_runs as r (task_id, fence, tenant, attempt, status, worker_id, started_at, finished_at)
  select id, before, tenant, attempt, 'cancelled', worker_id, started_at, finished_at from ended where was = 'running'
  on conflict (task_id, fence) do update set status = excluded.status, finished_at = excluded.finished_at
    where r.status = 'running'
)
select {task} from ended

-- name: reopen
-- A cancelled or expired task has no run to derive that end from once it is open again, so the end is stored.
with held as materialized (
  select t.id, w.run_at as due_at, t.status as was, t.fence as before, t.attempt as tried, t.finished_at as ended_at
  from unnest($2::uuid[], $3::timestamptz[]) as w (id, run_at)
  join orchestrator_tasks t on t.id = w.id
  where t.tenant = $1::text and t.fence <= $4::bigint
    and (t.status = 'failed' or (t.status >= 'succeeded' and not $5::boolean))
  order by t.id
  for no key update of t
), opened as (
  update orchestrator_tasks t
  set status = case when h.due_at is null then 'queued'::orchestrator_state else 'scheduled' end,
    fence = $4::bigint, attempt = 0, crashes = 0, result = null, error = null, progress = null,
    run_at = coalesce(h.due_at, now()), started_at = null, finished_at = null, worker_id = null,
    expires_at = case when t.expires_at > now() then t.expires_at end
  from held h
  where t.id = h.id
  returning t.*, h.was, h.before, h.tried, h.ended_at
), forgotten as (
  -- Every finished step answers again, but for the step named and whatever began or was finished later, or with $7 for
  -- all. A call whose child ended badly is made again in any case.
  delete from orchestrator_steps s
  using opened o
  where s.task_id = o.id and (
    $7::boolean
    or s.finished_at >= (select f.finished_at from orchestrator_steps f where f.task_id = o.id and f.name = $6::text)
    or (s.kind = 'call' and not exists (
      select from orchestrator_tasks c where c.id = s.child_id and c.status <= 'succeeded')))
), told as (
  insert into orchestrator_events (task_id, fence, number, tenant, kind, data, at)
  select id, fence, 0, tenant, 'status', json_build_object('status', status, 'attempt', 0), now() from opened
  union all
  select id, before, 999997, tenant, 'status', json_build_object('status', was, 'attempt', tried), ended_at
  from opened where was in ('cancelled', 'expired')
)
select {task} from opened order by id

-- name: expiring
select id::text
from orchestrator_tasks
where expires_at <= now() and status < 'running' and started_at is null
order by expires_at
limit $1::integer

-- name: expire
with held as materialized (
  select id
  from orchestrator_tasks
  where id = any($2::uuid[]) and expires_at <= now() and status < 'running' and started_at is null and fence <= $1::bigint
  order by id
  for no key update skip locked
), ended as (
  update orchestrator_tasks t
  set status = 'expired', fence = $1::bigint, finished_at = now(), key_held = key_held and not key_until_final
  from held h
  where t.id = h.id
  returning t.*
)
select {task} from ended

-- name: promote
with held as materialized (
  select id
  from orchestrator_tasks
  where id = any($1::uuid[]) and status in ('scheduled', 'retrying')
  order by id
  for no key update
)
update orchestrator_tasks t set status = 'queued' from held h where t.id = h.id
