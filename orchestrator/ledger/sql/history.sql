-- name: tell
-- The lock on the task's row keeps an older attempt from slipping an event in behind a newer one's start.
with held as materialized (
  select id, fence
  from orchestrator_tasks
  where id = any($1::uuid[]) and status < 'succeeded'
  order by id
  for no key update
), accepted as materialized (
  select e.*
  from unnest($1::uuid[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
    with ordinality as e (id, fence, number, tenant, kind, data, at, place)
  join held h on h.id = e.id and h.fence <= e.fence
), stored as (
  insert into orchestrator_events (task_id, fence, number, tenant, kind, data, at)
  select id, fence, number, tenant, kind, data::json, at from accepted
  on conflict do nothing
)
select coalesce(array_agg(place), '{}') from accepted

-- name: runs
select task_id::text, fence, attempt, status::text, worker_id, started_at, finished_at, error
from orchestrator_runs
where tenant = $1::text and task_id = $2::uuid
order by fence

-- name: events
-- Statuses follow from the task and its runs. A released run gives its attempt back.
with task as (
  select * from orchestrator_tasks where tenant = $1::text and id = $2::uuid
), ran as (
  select * from orchestrator_runs where tenant = $1::text and task_id = $2::uuid
), status (fence, number, data, at) as (
  select 0, 0, json_build_object('status', case when delayed then 'scheduled' else 'queued' end), created_at from task
  union all
  select fence, 0, json_build_object('status', 'running', 'attempt', attempt), started_at from ran
  union all
  select coalesce(ended_by, fence), 999997,
    json_build_object('status', becomes, 'attempt', attempt - (status = 'released')::integer), finished_at
  from ran where becomes is not null
  union all
  select fence, 999997, json_build_object('status', status, 'attempt', attempt), finished_at
  from task
  where status >= 'succeeded' and not exists (select from ran r where task.fence in (r.fence, r.ended_by))
)
(
  select fence, number, kind, data, at
  from orchestrator_events
  where tenant = $1::text and task_id = $2::uuid and (fence, number) > ($3::bigint, $4::integer)
    and ($5::text[] is null or kind = any($5::text[]))
  order by fence, number
  limit $6::integer
)
union all
select fence, number, 'status', data, at
from status
where (fence, number) > ($3::bigint, $4::integer) and ($5::text[] is null or 'status' = any($5::text[]))
order by fence, number
limit $6::integer
