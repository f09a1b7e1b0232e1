-- name: live_ids
-- What is live and does not wait for something else: the ids the queue should hold.
select id::text
from orchestrator_tasks
where id > $1::uuid and status < 'waiting'
order by orchestrator_tasks.id
limit $2::integer

-- name: fresh_ids
select id::text
from orchestrator_tasks
where id >= $1::uuid and id < $2::uuid and status < 'waiting'
order by orchestrator_tasks.id

-- name: entries_of
select id::text, tenant, type, queue, priority, payload, max_retries, timeout_seconds, traceparent, attempt, crashes,
  -- The clock of whoever accepted it may be ahead: what is queued is ready by now.
  (extract(epoch from case when status = 'queued' then least(coalesce(run_at, created_at), now())
    else coalesce(run_at, created_at) end) * 1000000)::bigint as ready_at_us,
  -- What has started once does not expire any more.
  (extract(epoch from case when started_at is null then expires_at end) * 1000000)::bigint as expires_at_us,
  status = 'retrying' as retrying, called
from orchestrator_tasks
where id = any($1::uuid[]) and status < 'waiting'
order by orchestrator_tasks.id

-- name: ended_of
select id::text from orchestrator_tasks where id = any($1::uuid[]) and status >= 'succeeded'
order by orchestrator_tasks.id

-- name: known
select id::text from orchestrator_tasks where id = any($1::uuid[])

-- name: next_epoch
select nextval('orchestrator_epoch')

-- name: last_epoch
select case when is_called then last_value else 0 end from orchestrator_epoch

-- name: pause
insert into orchestrator_queues as q (name, paused) values ($1::text, $2::boolean)
on conflict (name) do update set paused = excluded.paused, changed_at = now() where q.paused <> excluded.paused

-- name: paused_queues
select name from orchestrator_queues where paused

-- name: prune
-- Walks from the oldest task; none that was created after the retention's end can have finished before it.
with old as materialized (
  select t.id
  from orchestrator_tasks t
  where t.id < $1::uuid and t.finished_at < $2::timestamptz  -- only what is final has one
    -- A parent that is run again finds its children's results.
    and not (t.called and exists (select from orchestrator_tasks p where p.id = t.parent_id))
  order by t.id
  limit $3::integer
  for update of t skip locked
), runs as (
  delete from orchestrator_runs r using old where r.task_id = old.id
), events as (
  delete from orchestrator_events e using old where e.task_id = old.id
), steps as (
  delete from orchestrator_steps s using old where s.task_id = old.id
), files as (
  delete from orchestrator_artifacts a using old where a.task_id = old.id
  returning a.bucket, a.task_id::text, a.fence, a.id::text
), gone as (
  delete from orchestrator_tasks t using old where t.id = old.id
  returning t.id
)
select f.*, g.tasks from (select count(*) as tasks from gone) g left join files f on true

-- name: ping
select to_regclass('orchestrator_tasks') is not null
