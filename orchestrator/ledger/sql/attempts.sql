-- Rows are locked in the order of their ids before anything is changed, so batches that share tasks wait for each other
-- and cannot deadlock; whoever waited judges the row as the other left it.

-- name: start
-- A start that comes behind its own ending is refused as well: the row carries its fence and runs no more.
with held as materialized (
  select c.*, t.status as was, t.fence as before, 'epoch'::timestamptz + c.started_us * interval '1 us' as began_at
  from unnest($1::uuid[], $2::bigint[], $3::integer[], $4::text[], $5::bigint[]) with ordinality
    as c (id, fence, attempt, worker, started_us, place)
  join orchestrator_tasks t on t.id = c.id
  where t.status < 'succeeded' and (t.fence < c.fence or (t.fence = c.fence and t.status = 'running'))
  order by t.id
  for no key update of t
), started as (
  update orchestrator_tasks t
  set status = 'running', fence = h.fence, attempt = h.attempt, worker_id = h.worker, started_at = h.began_at
  from held h
  where t.id = h.id
  returning h.*, t.tenant
), recorded as (
  insert into orchestrator_runs as r (task_id, fence, tenant, attempt, status, worker_id, started_at, finished_at)
  select id, fence, tenant, attempt, 'running'::orchestrator_run_status, worker, began_at, null::timestamptz
  from started
  union all  -- a run still open under an older fence is over
  select id, before, tenant, attempt, 'crashed', worker, began_at, now()
  from started where was = 'running' and before < fence
  on conflict (task_id, fence) do update set status = excluded.status, finished_at = excluded.finished_at
    where r.status = 'running'
)
select coalesce(array_agg(place), '{}') from started

-- name: settle
-- A crash ends the run that is on record, whoever finds it, unless an ending of that run is on record already: then it
-- is refused. A run that has ended is not written again: a row that carries the fence and runs no more has its ending.
-- What is written late ($16) counts its delay from the end, not from now. The driver packs ids as text sooner.
with held as materialized (
  select e.*, t.status as was, t.fence as before, e.state::orchestrator_state as becomes,
    e.ending = 'crashed' and t.status = 'running' as on_record,
    'epoch'::timestamptz + e.started_us * interval '1 us' as began_at,
    coalesce('epoch'::timestamptz + e.ended_us * interval '1 us', now()) as ended_at
  from unnest($1::text[]::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::integer[], $7::integer[],
      $8::smallint[], $9::text[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[], $14::text[], $15::text[])
    with ordinality as e (id, fence, run, state, ending, run_attempt, attempt, crashes, worker, started_us, ended_us,
      delay_us, result, error, progress, place)
  join orchestrator_tasks t on t.id = e.id
  where t.fence <= e.fence and t.status < 'succeeded'
    and (t.status = 'running' or t.fence < case when e.ending = 'crashed' then e.run else e.fence end)
  order by t.id
  for no key update of t
), kept as (
  update orchestrator_tasks t
  set status = h.becomes, fence = h.fence, attempt = h.attempt, crashes = h.crashes,
    result = h.result::json, progress = h.progress::json,
    error = case when h.becomes <> 'succeeded' then coalesce(h.error::jsonb, t.error) end,
    run_at = coalesce(case when $16::boolean then h.ended_at else now() end + h.delay_us * interval '1 us', t.run_at),
    started_at = case when h.on_record then t.started_at else coalesce(h.began_at, t.started_at) end,
    finished_at = case when h.becomes >= 'succeeded' then h.ended_at end,
    worker_id = case when h.becomes in ('succeeded', 'failed')
      then case when h.on_record then t.worker_id else h.worker end end,
    key_held = t.key_held and not (t.key_until_final and h.becomes >= 'succeeded')
  from held h
  where t.id = h.id
  returning h.*, t.tenant, case when h.on_record then h.before else h.run end as run_fence
), recorded as (
  insert into orchestrator_runs as r (task_id, fence, tenant, attempt, status, worker_id, started_at, finished_at,
    error, becomes, ended_by)
  select id, run_fence, tenant, run_attempt, ending::orchestrator_run_status, worker, began_at, ended_at, error::jsonb,
    becomes, nullif(fence, run_fence) from kept where ending is not null
  union all  -- a run still open under an older fence is over
  select id, before, tenant, run_attempt, 'crashed', worker, ended_at, ended_at, null, null, null
    from kept where was = 'running' and before <> run_fence and ending is not null
  on conflict (task_id, fence) do update set status = excluded.status, finished_at = excluded.finished_at,
    error = excluded.error, becomes = excluded.becomes, ended_by = excluded.ended_by where r.status = 'running'
)
select coalesce(array_agg(place), '{}') from kept

-- name: settled
-- Which of these endings are on record already: written by an earlier try of the same batch.
select coalesce(array_agg(e.place), '{}')
from unnest($1::uuid[], $2::bigint[], $3::text[]) with ordinality as e (id, fence, state, place)
join orchestrator_tasks t on t.id = e.id
where t.fence = e.fence
  and (t.status = e.state::orchestrator_state or (t.status = 'queued' and e.state = 'retrying'))  -- due meanwhile

-- name: on_record
select coalesce(array_agg(c.place), '{}')
from unnest($1::uuid[], $2::bigint[]) with ordinality as c (id, fence, place)
join orchestrator_tasks t on t.id = c.id
where t.fence = c.fence and t.status = 'running'

-- name: save_step
with held as materialized (
  select id, tenant
  from orchestrator_tasks
  where id = $1::uuid and fence <= $2::bigint and status < 'succeeded'
  for no key update
)
insert into orchestrator_steps as s (task_id, name, tenant, fence, result)
select id, $3::text, tenant, $2::bigint, $4::text::json from held
on conflict (task_id, name) do update
  set fence = excluded.fence, result = excluded.result, finished_at = now()
  where s.fence <= excluded.fence
returning true

-- name: steps
-- A call comes with its child as it stands.
select s.name, s.kind, case when s.kind = 'sleep' and s.wake_at <= now() then 'true' else s.result end as result,
  s.child_id::text, s.wake_at, c.status::text as child_status, c.result as child_result, c.error as child_error
from orchestrator_steps s
left join orchestrator_tasks c on c.id = s.child_id
where s.task_id = $1::uuid

-- name: begin_steps
-- What was begun stays as it was first begun: whoever begins it again gets that.
with held as materialized (
  select id, tenant
  from orchestrator_tasks
  where id = $1::uuid and fence <= $2::bigint and status < 'succeeded'
  for no key update
)
insert into orchestrator_steps as s (task_id, name, tenant, fence, kind, child_id, wake_at)
select h.id, n.name, h.tenant, $2::bigint, n.kind, n.child_id, now() + n.seconds * interval '1 second'
from held h
cross join unnest($3::text[], $4::text[], $5::uuid[], $6::float8[]) as n (name, kind, child_id, seconds)
on conflict (task_id, name) do update set fence = greatest(s.fence, excluded.fence)
returning s.name, s.kind, case when s.kind = 'sleep' and s.wake_at <= now() then 'true' else s.result end as result,
  s.child_id::text, s.wake_at, null as child_status, null as child_result,
  null as child_error
