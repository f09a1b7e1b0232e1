-- Locks are taken in one order by all: tasks, the eldest first; reservations; counters, the system's ('') first, then
-- tenants', then their types'. So no two wait for each other, and whoever waited judges the rows as the other left
-- them. What is judged has to stand in a locked row: a sum over rows would be that of the moment before the wait.

-- name: open_days
-- The counters of today, at nought. Until they are there, `reserve` grants nothing.
with days as (
  insert into orchestrator_spending (tenant, day)
  select distinct tenant, (now() at time zone 'utc')::date from unnest(array_prepend('', $1::text[])) as scope (tenant)
  order by tenant
  on conflict do nothing returning tenant
)
insert into orchestrator_type_spending (tenant, type, day)
select distinct tenant, type, (now() at time zone 'utc')::date
from unnest($1::text[], $2::text[]) as scope (tenant, type)
where (select count(*) from days) >= 0  -- behind the others
order by tenant, type
on conflict do nothing

-- name: reserve
-- $7 are the tasks' own limits, $8 the system's where none was set. Granted is what fits into all of its limits behind
-- everything asked before it, granted or not; refused is what does not fit behind what was granted. What is neither has
-- to be asked again. The same reservation again is granted again.
with task as materialized (select id, tenant, type, fence, spent_nano, reserved_nano from orchestrator_tasks
  where id = any($2::uuid[]) and status = 'running' order by id for no key update
), whole as materialized (select * from orchestrator_spending where day = (now() at time zone 'utc')::date
    and tenant = any(array(select '' from task union select tenant from task)) order by tenant for no key update
), part as materialized (select * from orchestrator_type_spending where day = any(array(select day from whole))
    and tenant = any(array(select tenant from task)) and type = any(array(select type from task))
  order by tenant, type for no key update
), held as (select tenant, '' as type, day, spent_nano, reserved_nano, warned from whole union all select * from part
), asked as materialized (select a.*, t.tenant, t.type, t.spent_nano, t.reserved_nano, r.day as granted_on,
    t.id is not null and r.id is null as is_new
  from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])
    with ordinality as a (id, task_id, fence, provider, model, nano, limit_nano, place)
  left join task t on t.id = a.task_id and t.fence = a.fence left join orchestrator_reservations r on r.id = a.id
), bound as materialized (select place, nano, case when h.type > '' then 'type' when h.tenant > '' then 'tenant'
      else 'day' end as scope, concat(h.tenant, '/', h.type) as whose, h.spent_nano, h.reserved_nano, warned,
    coalesce(b.limit_nano, case h.tenant when '' then $8::bigint end) as limit_nano
  from asked a join held h on is_new and h.tenant in ('', a.tenant) and h.type in ('', a.type)
  left join orchestrator_limits b on b.tenant = h.tenant and b.type = h.type
  union all select place, nano, 'task', task_id::text, spent_nano, reserved_nano, 0, limit_nano from asked where is_new
), granted as (
  insert into orchestrator_reservations (id, task_id, tenant, type, fence, provider, model, amount_nano, day)
  select id, task_id, tenant, type, fence, provider, model, nano, (select max(day) from whole) from asked where place in
    (select place from (select *, sum(nano) over (partition by scope, whose order by place) as so_far from bound) as b
    group by place having count(*) = 4 and bool_and(coalesce(spent_nano + reserved_nano + so_far <= limit_nano, true))
    ) on conflict (id) do nothing returning *
), gain as materialized (select scope, whose, min(tenant) as tenant, min(type) as type, sum(amount_nano)::bigint as nano
  from granted, unnest(array['day', 'tenant', 'type', 'task'], array['/', tenant || '/', tenant || '/' || type,
    task_id::text]) as s (scope, whose) group by scope, whose
), counted as (update orchestrator_spending c set reserved_nano = c.reserved_nano + nano from gain g where
  c.tenant = case scope when 'day' then '' when 'tenant' then g.tenant end and c.day = any(array(select day from whole))
), typed as (update orchestrator_type_spending c set reserved_nano = c.reserved_nano + nano from gain g
  where scope = 'type' and c.tenant = g.tenant and c.type = g.type and c.day = any(array(select day from whole))
), marked as (update orchestrator_tasks t set reserved_nano = t.reserved_nano + nano from gain
  where t.id = case scope when 'task' then whose::uuid end)
select distinct on (a.place) a.tenant, a.type, coalesce(g.day, a.granted_on) as granted_on,
  (now() at time zone 'utc')::date as day, scope, b.spent_nano, b.now_nano as reserved_nano, b.limit_nano, warned
from asked a left join granted g on g.id = a.id left join (
  select b.*, reserved_nano + coalesce(gain.nano, 0) as now_nano from bound b left join gain using (scope, whose)
) as b on b.place = a.place and b.spent_nano + now_nano + b.nano > b.limit_nano
order by a.place, scope <> 'task', scope  -- the task's own limit first: waiting for another day cannot help there

-- name: spend
-- A task's cost is part of its caller's, and so on up. A fence older than the row's: the attempt had lost its lease.
-- A reservation that names no type was counted for none.
with recursive told as (
  select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::date[],
    $9::text[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::jsonb[], $16::boolean[])
    as s (id, task_id, tenant, type, fence, provider, model, day, step, input_tokens, output_tokens, cached_tokens,
    cache_write_tokens, cost_nano, price, ok)
), line as (select id as spender, id, parent_id, called from orchestrator_tasks where id = any($2::uuid[]) union
  select l.spender, p.id, p.parent_id, p.called from line l join orchestrator_tasks p on l.called and p.id = l.parent_id
), held as materialized (
  select id, fence from orchestrator_tasks where id in (select id from line) order by id for no key update
), kept as (
  insert into orchestrator_usage (id, task_id, tenant, type, fence, provider, model, day, step, input_tokens,
    output_tokens, cached_tokens, cache_write_tokens, cost_nano, price, ok, stale)
  select s.*, coalesce((select h.fence > s.fence from held h where h.id = s.task_id), true) from told s
  on conflict (id) do nothing returning *
), taken as (
  delete from orchestrator_reservations r using kept k where r.id = k.id returning r.id, amount_nano, r.type as of_type
), settled as materialized (
  select k.*, of_type, coalesce(amount_nano, 0) as freed_nano from kept k left join taken using (id)
), counted as (insert into orchestrator_spending as c (tenant, day, spent_nano, reserved_nano)
  select scope.tenant, day, sum(cost_nano), -sum(freed_nano)
  from settled s, unnest(array['', s.tenant]) as scope (tenant) group by scope.tenant, day order by scope.tenant, day
  on conflict (tenant, day) do update set spent_nano = c.spent_nano + excluded.spent_nano,
    reserved_nano = c.reserved_nano + excluded.reserved_nano returning c.*
), typed as (insert into orchestrator_type_spending as c (tenant, type, day, spent_nano, reserved_nano)
  select tenant, type, day, sum(cost_nano), -coalesce(sum(freed_nano) filter (where of_type > ''), 0) from settled
  where (select count(*) from counted) >= 0 group by tenant, type, day order by tenant, type, day
  on conflict (tenant, type, day) do update set spent_nano = c.spent_nano + excluded.spent_nano,
    reserved_nano = c.reserved_nano + excluded.reserved_nano returning c.*
), charged as (update orchestrator_tasks t
  set cost_usd = coalesce(round((t.cost_usd + s.cost_nano / 1e9)::numeric, 9), t.cost_usd),
    spent_nano = t.spent_nano + coalesce(s.own_nano, 0), reserved_nano = t.reserved_nano - coalesce(s.freed_nano, 0)
  from (select l.id, sum(cost_nano) filter (where not stale) as cost_nano, sum(cost_nano)
      filter (where l.id = task_id) as own_nano, sum(freed_nano) filter (where l.id = task_id) as freed_nano
    from settled s join line l on l.spender = s.task_id group by l.id) as s where t.id = s.id)
select case when type > '' then 'type' when tenant > '' then 'tenant' else 'day' end as scope, tenant, type, day,
  spent_nano, reserved_nano, warned, coalesce(b.limit_nano, case tenant when '' then $17::bigint end) as limit_nano,
  array(select id::text from kept where stale) as stale
from (select tenant, '' as type, day, spent_nano, reserved_nano, warned from counted union all select * from typed) c
left join orchestrator_limits b using (tenant, type) order by tenant, type

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
  returning c.tenant
), typed as (
  insert into orchestrator_type_spending as c (tenant, type, day, reserved_nano)
  select tenant, type, day, -sum(amount_nano) from taken
  where type > '' and (select count(*) from counted) >= 0
  group by tenant, type, day order by tenant, type, day
  on conflict (tenant, type, day) do update set reserved_nano = c.reserved_nano + excluded.reserved_nano
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

-- name: note_warning_of_type
update orchestrator_type_spending set warned = $4::smallint
where tenant = $1::text and type = $2::text and day = $3::date and warned < $4::smallint
returning true

-- name: standing
-- Today's, for a tenant or the whole system (''). Only reservations of attempts that run are counted.
select case $1::text when '' then 'day' else 'tenant' end as scope, $1::text as tenant, '' as type, today.day,
  coalesce(b.limit_nano, case $1::text when '' then $2::bigint end) as limit_nano,
  coalesce(c.spent_nano, 0) as spent_nano, coalesce(c.warned, 0) as warned, (
    select coalesce(sum(r.amount_nano), 0)::bigint
    from orchestrator_reservations r
    join orchestrator_tasks t on t.id = r.task_id and t.fence = r.fence and t.status = 'running'
    where r.day = today.day and $1::text in ('', r.tenant)
  ) as reserved_nano
from (select (now() at time zone 'utc')::date as day) as today
left join orchestrator_spending c on c.tenant = $1::text and c.day = today.day
left join orchestrator_budgets b on b.tenant = $1::text

-- name: standings_by_type
-- Today's, of each type of a tenant's tasks that is limited, or that called a model today.
select 'type' as scope, $1::text as tenant, kind.type, kind.day, b.limit_nano, coalesce(c.spent_nano, 0) as spent_nano,
  coalesce(c.warned, 0) as warned, (
    select coalesce(sum(r.amount_nano), 0)::bigint
    from orchestrator_reservations r
    join orchestrator_tasks t on t.id = r.task_id and t.fence = r.fence and t.status = 'running'
    where r.day = kind.day and r.tenant = $1::text and t.type = kind.type
  ) as reserved_nano
from (
  select type, (now() at time zone 'utc')::date as day from orchestrator_type_budgets
  where tenant = $1::text and limit_nano is not null
  union
  select type, day from orchestrator_type_spending
  where tenant = $1::text and day = (now() at time zone 'utc')::date
) as kind
left join orchestrator_type_spending c on c.tenant = $1::text and c.type = kind.type and c.day = kind.day
left join orchestrator_type_budgets b on b.tenant = $1::text and b.type = kind.type
order by coalesce(c.spent_nano, 0) desc, kind.type

-- name: usage_by_model
-- Today's calls of one tenant, or of all.
select provider, model, count(*) as calls, sum(input_tokens)::bigint as input_tokens,
  sum(output_tokens)::bigint as output_tokens, sum(cost_nano)::bigint as cost_nano
from orchestrator_usage
where day = (now() at time zone 'utc')::date and ($1::text is null or tenant = $1::text)
group by provider, model
order by sum(cost_nano) desc, provider, model

-- name: set_budget
-- A new limit is a new measure: people are told again when it is reached, and who waits for money asks again.
with asleep as materialized (
  select id from orchestrator_tasks
  where awaits_money and status = 'waiting' and ($1::text = '' or tenant = $1::text) order by id for no key update
), woken as (
  update orchestrator_tasks t set run_at = now() from asleep a where t.id = a.id
), anew as (
  update orchestrator_spending set warned = 0 where tenant = $1::text and day = (now() at time zone 'utc')::date
    and (select count(*) from asleep) >= 0  -- tasks' locks come before counters'
)
insert into orchestrator_budgets as b (tenant, limit_nano) values ($1::text, $2::bigint)
on conflict (tenant) do update set limit_nano = excluded.limit_nano, changed_at = now()

-- name: forget_usage
with old as (
  select id from orchestrator_usage where day < $1::date order by day limit $2::integer for update skip locked
), sums as (
  delete from orchestrator_spending where day < $1::date
), of_types as (
  delete from orchestrator_type_spending where day < $1::date
)
delete from orchestrator_usage u using old where u.id = old.id
