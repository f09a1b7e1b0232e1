-- Money of each type of a tenant's tasks: counters that are always kept, and limits where some were set.
--
-- They stand in tables of their own: a process of the version before goes on counting for the system and the tenant
-- while this is rolled out. What it reserved names no type, here and there, and is in no type's sum.

alter table orchestrator_reservations add column type text;  -- null: counted for no type
alter table orchestrator_usage add column type text;         -- null: paid for by a version that did not write it down

-- The sums of a day. Their locks are taken behind that of the tenant's row in orchestrator_spending.
create table orchestrator_type_spending (
  tenant         text not null,
  type           text not null,
  day            date not null,
  spent_nano     bigint not null default 0,
  reserved_nano  bigint not null default 0,
  warned         smallint not null default 0,
  primary key (tenant, type, day)
);

-- Limits that were set: null where one was taken away.
create table orchestrator_type_budgets (
  tenant      text not null,
  type        text not null,
  limit_nano  bigint check (limit_nano >= 0),
  changed_at  timestamptz not null default now(),
  primary key (tenant, type)
);

-- A limit that is set today knows what today has cost already.
update orchestrator_usage u set type = t.type
from orchestrator_tasks t
where t.id = u.task_id and u.day = (now() at time zone 'utc')::date;

insert into orchestrator_type_spending (tenant, type, day, spent_nano)
select tenant, type, day, sum(cost_nano)
from orchestrator_usage
where type is not null
group by tenant, type, day;

-- All limits of a day in one place, as they are asked about; the type '' is a tenant's whole day.
create view orchestrator_limits with (security_invoker = true) as
select tenant, '' as type, limit_nano, changed_at from orchestrator_budgets
union all
select tenant, type, limit_nano, changed_at from orchestrator_type_budgets;

select orchestrator_guard('orchestrator_type_spending'), orchestrator_guard('orchestrator_type_budgets'),
  orchestrator_shut('orchestrator_limits');
grant select on orchestrator_limits to aurea_app, aurea_system;
