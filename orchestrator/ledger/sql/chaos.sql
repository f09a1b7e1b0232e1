-- What a campaign asks: how it stands, and what is left for its checker.

-- name: unfinished
select count(*)::int from orchestrator_tasks where status < 'succeeded'

-- name: finished
select count(*)::int from orchestrator_tasks where status >= 'succeeded'

-- name: tasks
-- Tasks that handlers submitted are left out: no client knows of them.
select id::text, coalesce(idempotency_key, '') as key, status::text, fence, priority,
  extract(epoch from finished_at)::float8 as finished_at,
  case when status = 'failed' then coalesce(error->>'type', '?') else '' end as error
from orchestrator_tasks
where parent_id is null

-- name: runs
select r.task_id::text, r.fence, r.attempt, r.status::text, r.becomes::text, r.worker_id as worker, r.ended_by,
  extract(epoch from r.started_at)::float8 as started_at
from orchestrator_runs r
join orchestrator_tasks t on t.id = r.task_id and t.parent_id is null
order by r.task_id, r.fence

-- name: end_other_sessions
select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'client backend' and pid <> $1
