-- name: park
-- Waits for as much as `settle` does, and is refused as it is.
with held as materialized (
  select t.id, t.tenant, t.type, t.status as was, t.fence as before,
    coalesce(t.started_at, $6::timestamptz) as began_at
  from orchestrator_tasks t
  where t.id = $1::uuid and t.fence <= $2::bigint and t.status < 'succeeded'
    and (t.status = 'running' or t.fence < $2::bigint)
  for no key update
), parked as (
  update orchestrator_tasks t
  set status = 'waiting', fence = $2::bigint, attempt = $3::integer, crashes = $4::smallint, worker_id = null,
    started_at = h.began_at, progress = $12::json, awaited = $8::uuid[], awaits_all = $9::boolean, awaits_lock = $10::text,
    awaits_money = $11::boolean, run_at = case
      when $11::boolean and exists (  -- the limit was changed since it was told that there is no money
        select from orchestrator_limits b
        where b.tenant in ('', h.tenant) and b.type in ('', h.type) and b.changed_at > $6::timestamptz)
      then now() else $7::timestamptz end
  from held h
  where t.id = h.id
  returning t.id, t.tenant, h.was, h.before
), recorded as (
  insert into orchestrator_runs as r (task_id, fence, tenant, attempt, status, worker_id, started_at, finished_at,
    becomes)
  select id, $2::bigint, tenant, $3::integer, 'parked'::orchestrator_run_status, $5::text, $6::timestamptz, now(),
    'waiting'::orchestrator_state from parked
  union all  -- a run still open under an older fence is over
  select id, before, tenant, $3::integer, 'crashed', $5::text, $6::timestamptz, now(), null
  from parked where was = 'running' and before < $2::bigint
  on conflict (task_id, fence) do update set status = excluded.status, finished_at = excluded.finished_at,
    becomes = excluded.becomes where r.status = 'running'
)
select true from parked

-- name: is_parked
select true from orchestrator_tasks where id = $1::uuid and fence = $2::bigint and status = 'waiting'

-- name: wake
-- Rows are locked first, whatever their state: one that is being parked this moment is judged as it stands afterwards.
-- Waking gives the attempt back; the next run has its number.
with held as materialized (
  select id, tenant, status, run_at, awaited, awaits_all, awaits_lock
  from orchestrator_tasks
  where id = any($1::uuid[]) and status < 'succeeded'
  order by id
  for no key update
), ready as materialized (
  select h.id
  from held h
  where h.status = 'waiting' and (
    h.run_at <= now()
    or (h.awaits_all and not exists (
      select from orchestrator_tasks c where c.id = any(h.awaited) and c.status < 'succeeded'))
    or (not h.awaits_all and exists (
      select from orchestrator_tasks c where c.id = any(h.awaited) and c.status >= 'succeeded'))
    or (h.awaits_lock is not null and not exists (
      select from orchestrator_locks l join orchestrator_tasks o on o.id = l.task_id and o.status < 'succeeded'
      where l.tenant = h.tenant and l.name = h.awaits_lock)))
)
update orchestrator_tasks t
set status = 'queued', run_at = now(), attempt = greatest(t.attempt - 1, 0), awaited = null, awaits_all = false,
  awaits_lock = null, awaits_money = false
from ready r
where t.id = r.id
returning t.id::text

-- name: wait_of
select run_at, awaited::text[] as awaited, awaits_all, awaits_lock, awaits_money
from orchestrator_tasks
where tenant = $1::text and id = $2::uuid and status = 'waiting'

-- name: live_among
select id::text, status::text
from orchestrator_tasks
where tenant = $1::text and id = any($2::uuid[]) and status < 'succeeded'
order by orchestrator_tasks.id

-- name: parents_of
select distinct parent_id::text
from orchestrator_tasks
where id = any($1::uuid[]) and called and parent_id is not null

-- name: due
select id::text from orchestrator_tasks where status = 'waiting' and run_at <= now() order by run_at limit $1::integer

-- name: waiting_ids
select id::text
from orchestrator_tasks
where id > $1::uuid and status = 'waiting' and (awaited is not null or awaits_lock is not null)
order by orchestrator_tasks.id
limit $2::integer

-- name: called_children
select id::text
from orchestrator_tasks
where parent_id = any($1::uuid[]) and called and status < 'succeeded'
order by orchestrator_tasks.id

-- name: orphans
-- Children that live on although their parent was cancelled: whoever cancelled it died before it came to them.
select c.id::text, c.tenant
from orchestrator_tasks c
join orchestrator_tasks p on p.id = c.parent_id
where c.called and c.status < 'succeeded' and p.status = 'cancelled'
order by c.id
limit $1::integer

-- name: take_lock
-- The second column is null while another task holds it, the first is false for a stale attempt.
with held as materialized (
  select id, tenant
  from orchestrator_tasks
  where id = $1::uuid and fence <= $2::bigint and status < 'succeeded'
  for no key update
), taken as (
  insert into orchestrator_locks as l (tenant, name, task_id, fence)
  select tenant, $3::text, id, nextval('orchestrator_lock_fence') from held
  on conflict (tenant, name) do update
    set task_id = excluded.task_id,
      fence = case when l.task_id = excluded.task_id then l.fence else excluded.fence end,
      taken_at = case when l.task_id = excluded.task_id then l.taken_at else excluded.taken_at end
    where l.task_id = excluded.task_id
      -- Known to be over: whoever is not to be seen yet may be a holder that is younger than this statement.
      or exists (select from orchestrator_tasks o where o.id = l.task_id and o.status >= 'succeeded')
      or (l.taken_at < now() - interval '1 day'
        and not exists (select from orchestrator_tasks o where o.id = l.task_id))
  returning l.fence
)
select exists (select from held) as fresh, (select fence from taken) as fence

-- name: release_lock
-- Names the oldest task that waits for it.
with held as materialized (
  select id, tenant
  from orchestrator_tasks
  where id = $1::uuid and fence <= $2::bigint
  for no key update
), released as (
  delete from orchestrator_locks l using held h
  where l.tenant = h.tenant and l.name = $3::text and l.task_id = h.id
  returning l.tenant
)
select w.id::text
from orchestrator_tasks w
join held h on h.tenant = w.tenant
where w.awaits_lock = $3::text and w.status = 'waiting'
order by w.id
limit 1

-- name: lock_holder
select task_id::text from orchestrator_locks where tenant = $1::text and name = $2::text
