-- Locks are taken in one order by all: tasks, the eldest first; reservations; counters, the system's ('') first. So no
-- two wait for each other, and whoever waited judges the rows as the other left them. What is judged has to stand in
-- a locked row: a sum over rows would be that of the moment before the wait.

-- name: open_day
-- The counters of today, at nought. Until they are there, `reserve` grants nothing.
insert into orchestrator_spending (tenant, day)
select tenant, (now() at time zone 'utc')::date from unnest(array['', $1::text]) as scope (tenant)
order by tenant
on conflict do nothing

-- name: reserve
-- $7 is the task's own limit, $8 the system's where none was set. The same reservation again is granted again.
with task as materialized (
  select id, tenant, spent_nano, reserved_nano from orchestrator_tasks
  where id = $2::uuid and fence = $3::bigint and status = 'running'
  for no key update
), held as materialized (
  select c.* from task join orchestrator_spending c on c.tenant in ('', task.tenant)
  where c.day = (now() at time zone 'utc')::date
  order by c.tenant
  for no key update of c
), bounds as (
  select case tenant when '' then 'day' else 'tenant' end as scope, spent_nano, reserved_nano, warned,
    coalesce(b.limit_nano, case tenant when '' then $8::bigint end) as limit_nano
  from held left join orchestrator_budgets b using (tenant)
  union all
  select 'task', spent_nano, reserved_nano, 0, $7::bigint from task
), refusal as materialized (  -- the task's own limit before the others: waiting for another day cannot help there
  select * from bounds where spent_nano + reserved_nano + $6::bigint > limit_nano
  order by scope <> 'task', scope limit 1
), granted as (
  insert into orchestrator_reservations (id, task_id, tenant, fence, provider, model, amount_nano, day)
  select $1::uuid, t.id, t.tenant, $3::bigint, $4::text, $5::text, $6::bigint, h.day from task t, held h
  where h.tenant = '' and (select count(*) from held) = 2 and not exists (select from refusal)
  on conflict (id) do nothing
  returning *
), counted as (
  update orchestrator_spending c set reserved_nano = c.reserved_nano + g.amount_nano
  from granted g where c.day = g.day and c.tenant in ('', g.tenant)
), marked as (
  update orchestrator_tasks t set reserved_nano = t.reserved_nano + g.amount_nano from granted g where t.id = g.task_id
)
select exists (select from task) as running,
  coalesce((select day from granted), (select day from orchestrator_reservations where id = $1::uuid)) as granted_on,
  (now() at time zone 'utc')::date as day, r.*
from (values (1)) as one left join refusal r on true

-- name: spend
-- A task's cost is part of its caller's, and so on up. $4 older than the row's: the attempt had lost its lease.
with recursive line as (
  select id, parent_id, called from orchestrator_tasks where id = $2::uuid
  union
  select p.id, p.parent_id, p.called from line l join orchestrator_tasks p on l.called and p.id = l.parent_id
), held as materialized (
  select id, fence from orchestrator_tasks where id in (select id from line) order by id for no key update
), kept as (
  insert into orchestrator_usage (id, task_id, tenant, fence, provider, model, day, step, input_tokens, output_tokens,
    cached_tokens, cache_write_tokens, cost_nano, price, ok, stale)
  select $1::uuid, $2::uuid, $3::text, $4::bigint, $5::text, $6::text, $7::date, $8::text, $9::bigint, $10::bigint,
    $11::bigint, $12::bigint, $13::bigint, $14::jsonb, $15::boolean,
    coalesce((select fence > $4::bigint from held where id = $2::uuid), true)
  on conflict (id) do nothing
  returning *
), taken as (
  delete from orchestrator_reservations r using kept k where r.id = k.id returning r.amount_nano
), freed as materialized (
  select coalesce(sum(amount_nano), 0)::bigint as nano from taken
), counted as (
  insert into orchestrator_spending as c (tenant, day, spent_nano, reserved_nano)
  select scope.tenant, k.day, k.cost_nano, -freed.nano
  from kept k, freed, unnest(array['', k.tenant]) as scope (tenant) order by scope.tenant
  on conflict (tenant, day) do update set spent_nano = c.spent_nano + excluded.spent_nano,
    reserved_nano = c.reserved_nano + excluded.reserved_nano
  returning c.*
), charged as (
  update orchestrator_tasks t
  set cost_usd = case when k.stale then t.cost_usd else round((t.cost_usd + k.cost_nano / 1e9)::numeric, 9) end,
    spent_nano = t.spent_nano + case when t.id = k.task_id then k.cost_nano else 0 end,
    reserved_nano = t.reserved_nano - case when t.id = k.task_id then freed.nano else 0 end
  from held h, kept k, freed
  where t.id = h.id
)
select case tenant when '' then 'day' else 'tenant' end as scope, c.day, c.spent_nano, c.reserved_nano, c.warned,
  coalesce(b.limit_nano, case tenant when '' then $16::bigint end) as limit_nano, (select stale from kept) as stale
from counted c left join orchestrator_budgets b using (tenant)

-- name: unreserve
-- Those that are gone already were settled or released.
with held as materialized (
  select id from orchestrator_tasks
  where id in (select task_id from orchestrator_reservations where id = any($1::uuid[]))
  order by id for no key update
), taken as (
  delete from orchestrator_reservations
  where id = any($1::uuid[]) and (select count(*) from held) >= 0  -- behind the tasks' locks
  returning *
), counted as (
  insert into orchestrator_spending as c (tenant, day, reserved_nano)
  select scope.tenant, r.day, -sum(r.amount_nano)
  from taken r, unnest(array['', r.tenant]) as scope (tenant)
  group by scope.tenant, r.day order by scope.tenant, r.day
  on conflict (tenant, day) do update set reserved_nano = c.reserved_nano + excluded.reserved_nano
), marked as (
  update orchestrator_tasks t set reserved_nano = t.reserved_nano - r.nano
  from (select task_id, sum(amount_nano) as nano from taken group by task_id) r where t.id = r.task_id
)
select count(*) from taken

-- name: dead_reservations
-- Reservations whose attempt is not the one that runs. None of them comes to life again: fences only grow.
select r.id::text
from orchestrator_reservations r
left join orchestrator_tasks t on t.id = r.task_id and t.fence = r.fence and t.status = 'running'
where t.id is null
order by r.id
limit $1::integer

-- name: note_warning
-- True once a day for each limit and each step of it, whoever comes first.
update orchestrator_spending set warned = $3::smallint
where tenant = $1::text and day = $2::date and warned < $3::smallint
returning true

-- name: standing
-- Today's, for the whole system ('') and a tenant. Only reservations of attempts that run are counted.
select case scope.tenant when '' then 'day' else 'tenant' end as scope, today.day,
  coalesce(b.limit_nano, case scope.tenant when '' then $2::bigint end) as limit_nano,
  coalesce(c.spent_nano, 0) as spent_nano, coalesce(c.warned, 0) as warned, (
    select coalesce(sum(r.amount_nano), 0)::bigint
    from orchestrator_reservations r
    join orchestrator_tasks t on t.id = r.task_id and t.fence = r.fence and t.status = 'running'
    where r.day = today.day and scope.tenant in ('', r.tenant)
  ) as reserved_nano
from (select (now() at time zone 'utc')::date as day) as today
cross join unnest(array['', $1::text]) as scope (tenant)
left join orchestrator_spending c on c.tenant = scope.tenant and c.day = today.day
left join orchestrator_budgets b on b.tenant = scope.tenant
order by scope.tenant

-- name: usage_by_model
-- Today's calls of one tenant, or of all.
select provider, model, count(*) as calls, sum(input_tokens)::bigint as input_tokens,
  sum(output_tokens)::bigint as output_tokens, sum(cost_nano)::bigint as cost_nano
from orchestrator_usage
where day = (now() at time zone 'utc')::date and ($1::text is null or tenant = $1::text)
group by provider, model
order by sum(cost_nano) desc, provider, model

-- name: set_budget
-- A new limit is a new measure: people are told again when it is reached.
with anew as (
  update orchestrator_spending set warned = 0 where tenant = $1::text and day = (now() at time zone 'utc')::date
)
insert into orchestrator_budgets as b (tenant, limit_nano) values ($1::text, $2::bigint)
on conflict (tenant) do update set limit_nano = excluded.limit_nano, changed_at = now()

-- name: forget_usage
with old as (
  select id from orchestrator_usage where day < $1::date order by day limit $2::integer for update skip locked
), sums as (
  delete from orchestrator_spending where day < $1::date
)
delete from orchestrator_usage u using old where u.id = old.id
