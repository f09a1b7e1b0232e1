-- name: read
select {task} from orchestrator_tasks where tenant = $1::text and id = $2::uuid

-- name: page
-- Each state is a stretch of the index (tenant, status, id), walked from its newest task; the newest of all of them are
-- the page. Comparing rows leaves no other way to walk: with plain equality a rare state is looked for in all tasks.
select t.id::text
from unnest($2::text[]::orchestrator_state[]) as wanted (state)
cross join lateral (
  select t.id
  from orchestrator_tasks t
  where (t.tenant, t.status, t.id) < ($1::text, wanted.state, $3::uuid)
    and (t.tenant, t.status, t.id) >= ($1::text, wanted.state, $4::uuid)
    and ($5::timestamptz is null or t.created_at >= $5::timestamptz)
    and ($6::timestamptz is null or t.created_at < $6::timestamptz)
    and ($7::text is null or t.type = $7::text)
    and ($8::text is null or t.queue = $8::text)
    and ($9::text is null
      or strpos(lower(concat_ws(' ', t.type, t.idempotency_key, t.tags, t.error)), lower($9::text)) > 0)
  order by t.tenant desc, t.status desc, t.id desc
  limit $10::integer
) as t
order by t.id desc
limit $10::integer

-- name: page_of_few
-- A tag or a parent leaves few: they are gathered by its index and sorted.
select t.id::text
from orchestrator_tasks t
where t.tenant = $1::text and t.status = any($2::text[]::orchestrator_state[]) and t.id < $3::uuid and t.id >= $4::uuid
  and ($5::timestamptz is null or t.created_at >= $5::timestamptz)
  and ($6::timestamptz is null or t.created_at < $6::timestamptz)
  and ($7::text is null or t.type = $7::text)
  and ($8::text is null or t.queue = $8::text)
  and ($9::text is null
    or strpos(lower(concat_ws(' ', t.type, t.idempotency_key, t.tags, t.error)), lower($9::text)) > 0)
  and ($11::jsonb is null or (t.tags <> '{}' and t.tags @> $11::jsonb))
  and ($12::uuid is null or t.parent_id = $12::uuid)
order by t.id desc
limit $10::integer

-- name: these
select {task}
from orchestrator_tasks
where tenant = $1::text and id = any($2::uuid[])
order by orchestrator_tasks.id desc

-- name: own
select id::text from orchestrator_tasks where tenant = $1::text and id = any($2::uuid[])

-- name: list_steps
select s.name, s.kind, s.child_id::text, s.wake_at, s.fence, s.finished_at as at,
  -- A call without a child was refused, or its task ended before it was made.
  case
    when s.kind = 'call' and (c.status > 'succeeded' or (c.id is null and t.status >= 'succeeded')) then 'failed'
    when (s.kind = 'call' and c.status is distinct from 'succeeded') or (s.kind = 'sleep' and s.wake_at > now())
      then 'waiting'
    else 'finished'
  end as status,
  case when s.kind = 'call' then c.result else s.result end as answer, c.error
from orchestrator_steps s
join orchestrator_tasks t on t.id = s.task_id
left join orchestrator_tasks c on c.id = s.child_id
where s.tenant = $1::text and s.task_id = $2::uuid
order by s.finished_at, s.name

-- name: dead
select {task}
from orchestrator_tasks
where tenant = $1::text and status = 'failed' and id < $2::uuid
  and ($3::text is null or type = $3::text)
  and ($4::text is null or error ->> 'fingerprint' = $4::text)
order by orchestrator_tasks.id desc
limit $5::integer

-- name: dead_ids
select id::text
from orchestrator_tasks
where tenant = $1::text and status = 'failed'
  and ($2::text is null or type = $2::text)
  and ($3::text is null or error ->> 'fingerprint' = $3::text)
order by orchestrator_tasks.id
limit $4::integer

-- name: dead_letters
select count(*) from orchestrator_tasks where status = 'failed'

-- name: dead_groups
with counted as (
  select coalesce(error ->> 'fingerprint', '') as fingerprint, type, count(*), max(finished_at) as last_at,
    max(id::text)::uuid as newest
  from orchestrator_tasks
  where tenant = $1::text and status = 'failed'
  group by 1, 2
  order by count(*) desc, last_at desc
  limit $2::integer
)
select c.newest::text, c.fingerprint, c.type, c.count, coalesce(t.error ->> 'message', '') as message, c.last_at
from counted c
join orchestrator_tasks t on t.id = c.newest
order by c.count desc, c.last_at desc
