-- name: profiles_since
-- All that changed since a moment, or was about to be committed then.
select tenant, tasks_per_day, running, queued, requests_per_minute, types::text, changed_at
from profiles
where changed_at >= $1::timestamptz - interval '10 seconds'
order by changed_at

-- name: profile_of
select p.tasks_per_day, p.running, p.queued, p.requests_per_minute, p.types::text, b.limit_nano
from (select $1::text as tenant) as asked
left join profiles p on p.tenant = asked.tenant
left join orchestrator_budgets b on b.tenant = asked.tenant

-- name: set_profile
-- The money with it, in one transaction; a new limit is a new measure, as in `set_budget`: people are told again when
-- it is reached, and who waits for money asks again. The same limit again is none.
with other as materialized (
  select b.tenant from orchestrator_budgets b where b.tenant = $1::text and b.limit_nano is distinct from $7::bigint
), anew as (
  update orchestrator_spending s set warned = 0
  from other o where s.tenant = o.tenant and s.day = (now() at time zone 'utc')::date
), woken as (
  update orchestrator_tasks t set run_at = now()
  from other o where t.awaits_money and t.status = 'waiting' and t.tenant = o.tenant
), money as (
  insert into orchestrator_budgets as b (tenant, limit_nano) values ($1::text, $7::bigint)
  on conflict (tenant) do update set limit_nano = excluded.limit_nano, changed_at = now()
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
