-- name: profiles_since
-- All that changed since a moment, or was about to be committed then.
select tenant, tasks_per_day, running, queued, requests_per_minute, types::text, changed_at
from profiles
where changed_at >= $1::timestamptz - interval '10 seconds'
order by changed_at

-- name: profile_of
select p.tasks_per_day, p.running, p.queued, p.requests_per_minute, p.types::text, b.limit_nano, (
  select jsonb_object_agg(t.type, t.limit_nano)::text from orchestrator_type_budgets t
  where t.tenant = asked.tenant and t.limit_nano is not null
) as type_limits
from (select $1::text as tenant) as asked
left join profiles p on p.tenant = asked.tenant
left join orchestrator_budgets b on b.tenant = asked.tenant

-- name: tenants
-- By name, behind $1. From one tenant the next is looked for in an index, so that it costs as little with many tasks.
with recursive of_tasks as (
  (select tenant from orchestrator_tasks where tenant > $1::text order by tenant limit 1)
  union all
  select (select tenant from orchestrator_tasks where tenant > o.tenant order by tenant limit 1)
  from of_tasks o where o.tenant is not null
), of_keys as (
  (select tenant from orchestrator_api_keys where tenant > $1::text order by tenant limit 1)
  union all
  select (select tenant from orchestrator_api_keys where tenant > o.tenant order by tenant limit 1)
  from of_keys o where o.tenant is not null
), named as (
  (select tenant from of_tasks where tenant is not null limit $2::integer)
  union
  (select tenant from of_keys where tenant is not null limit $2::integer)
  union
  select tenant from profiles where tenant > $1::text
    and (types <> '{}' or coalesce(tasks_per_day, running, queued, requests_per_minute) is not null)
  union
  select tenant from orchestrator_limits where tenant > $1::text and limit_nano is not null
  order by tenant limit $2::integer
)
select n.tenant, p.tasks_per_day, p.running, p.queued, p.requests_per_minute, p.types::text, b.limit_nano,
  coalesce(c.spent_nano, 0) as spent_nano, (
    select jsonb_object_agg(t.type, t.limit_nano)::text from orchestrator_type_budgets t
    where t.tenant = n.tenant and t.limit_nano is not null
  ) as type_limits, (
    select count(*) from orchestrator_api_keys k
    where k.tenant = n.tenant and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
  ) as keys, (
    select max(newest.created_at) from unnest(enum_range(null::orchestrator_state)) as every (state)
    cross join lateral (select t.created_at from orchestrator_tasks t
      where t.tenant = n.tenant and t.status = every.state order by t.id desc limit 1) as newest
  ) as last_task_at
from named n left join profiles p on p.tenant = n.tenant left join orchestrator_budgets b on b.tenant = n.tenant
left join orchestrator_spending c on c.tenant = n.tenant and c.day = (now() at time zone 'utc')::date
order by n.tenant

-- name: set_profile
-- The money with it, in one transaction; a new limit is a new measure, as in `set_budget`: people are told again when
-- it is reached, and who waits for money asks again. The same limit again is none. Locks are taken in the order of all
-- money: tasks, then counters.
with wanted as materialized (  -- '' is the tenant's whole day; what is not named any more has no limit
  select '' as type, $7::bigint as limit_nano
  union all
  select type, w.limit_nano from unnest($8::text[], $9::bigint[]) as w (type, limit_nano)
  full join (select type from orchestrator_type_budgets where tenant = $1::text) as old using (type)
), changed as materialized (
  select w.type from wanted w left join orchestrator_limits old on old.tenant = $1::text and old.type = w.type
  where w.limit_nano is distinct from old.limit_nano
), asleep as materialized (
  select id from orchestrator_tasks t
  where t.tenant = $1::text and t.awaits_money and t.status = 'waiting'
    and exists (select from changed c where c.type in ('', t.type))
  order by id for no key update
), woken as (
  update orchestrator_tasks t set run_at = now() from asleep a where t.id = a.id
), anew as (
  update orchestrator_spending s set warned = 0
  from changed c where c.type = '' and s.tenant = $1::text and s.day = (now() at time zone 'utc')::date
    and (select count(*) from asleep) >= 0
  returning s.tenant
), typed_anew as (
  update orchestrator_type_spending s set warned = 0
  from changed c where s.type = c.type and s.tenant = $1::text and s.day = (now() at time zone 'utc')::date
    and (select count(*) from anew) >= 0
), money as (
  insert into orchestrator_budgets as b (tenant, limit_nano) values ($1::text, $7::bigint)
  on conflict (tenant) do update set limit_nano = excluded.limit_nano, changed_at = now()
  where b.limit_nano is distinct from excluded.limit_nano
), typed_money as (
  insert into orchestrator_type_budgets as b (tenant, type, limit_nano)
  select $1::text, type, limit_nano from wanted where type > '' order by type
  on conflict (tenant, type) do update set limit_nano = excluded.limit_nano, changed_at = now()
  where b.limit_nano is distinct from excluded.limit_nano
)
insert into profiles as p (tenant, tasks_per_day, running, queued, requests_per_minute, types)
values ($1::text, $2::bigint, $3::bigint, $4::bigint, $5::bigint, $6::jsonb)
on conflict (tenant) do update set tasks_per_day = excluded.tasks_per_day, running = excluded.running,
  queued = excluded.queued, requests_per_minute = excluded.requests_per_minute, types = excluded.types,
  changed_at = now()

-- name: created_since
-- Here and in `unbegun` without the deliveries that tell of endings: nobody asked for them as tasks.
-- Ids begin with the moment at which they were made; every state is named so that the index on all three is used.
select type, count(*) as tasks
from orchestrator_tasks
where tenant = $1::text and status = any (enum_range(null::orchestrator_state)) and id >= $2::uuid
  and type <> 'webhook_deliver'
group by type

-- name: unbegun
select id::text, type from orchestrator_tasks
where tenant = $1::text and status in ('scheduled', 'queued') and attempt = 0
  and type <> 'webhook_deliver'

-- name: owners_of
select id::text, tenant, type from orchestrator_tasks where id = any($1::uuid[])
