-- Money. Amounts are whole nano-dollars. What is decided is decided on locked rows that carry the sums: two of a task,
-- and one each for the whole system and for a tenant, a day (UTC) each.

alter table orchestrator_tasks
  add column spent_nano bigint not null default 0,    -- by its own calls in its whole life, lost attempts' included
  add column reserved_nano bigint not null default 0; -- for its calls under way

-- Every call that was paid for.
create table orchestrator_usage (
  id                  uuid primary key,             -- the reservation's
  task_id             uuid not null,
  tenant              text not null,
  step                text not null,
  provider            text not null,
  model               text not null,
  input_tokens        bigint not null,              -- the cached ones and those written to the cache included
  output_tokens       bigint not null,
  cached_tokens       bigint not null,
  cache_write_tokens  bigint not null,
  price               jsonb not null,               -- what the cost was computed from
  cost_nano           bigint not null,
  fence               bigint not null,
  ok                  boolean not null,             -- false: it broke, and was paid for as far as it went
  stale               boolean not null,             -- its attempt had lost its lease: the task's cost is without it
  day                 date not null,                -- on which it was reserved
  at                  timestamptz not null default now()
);
create index orchestrator_usage_day on orchestrator_usage (day, tenant);
create index orchestrator_usage_task on orchestrator_usage (task_id, id);

-- What is set aside for calls under way. One whose attempt does not run any more counts for nothing.
create table orchestrator_reservations (
  id           uuid primary key,
  task_id      uuid not null,
  tenant       text not null,
  fence        bigint not null,
  provider     text not null,
  model        text not null,
  amount_nano  bigint not null check (amount_nano >= 0),
  day          date not null,
  at           timestamptz not null default now()
);

-- The sums of a day; the tenant '' is the whole system. `reserved_nano` is that of all open reservations of the day.
create table orchestrator_spending (
  tenant         text not null,
  day            date not null,
  spent_nano     bigint not null default 0,
  reserved_nano  bigint not null default 0,
  warned         smallint not null default 0,       -- 80 or 100: what people were told of today
  primary key (tenant, day)
);

-- Limits that were set: null where none is. The tenant '' is the whole system.
create table orchestrator_budgets (
  tenant      text primary key,
  limit_nano  bigint check (limit_nano >= 0),
  changed_at  timestamptz not null default now()
);

alter table orchestrator_usage enable row level security;
alter table orchestrator_reservations enable row level security;
alter table orchestrator_spending enable row level security;
alter table orchestrator_budgets enable row level security;
