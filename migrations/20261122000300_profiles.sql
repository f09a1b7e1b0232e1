-- What a tenant may do at most. Null is no limit; what it may spend in a day stands in orchestrator_budgets.
--
-- A row is never deleted: by `changed_at` every process sees what is new, a limit that was taken away as well.

create table profiles (
  tenant               text primary key,
  tasks_per_day        bigint check (tasks_per_day >= 0),
  running              bigint check (running >= 0),
  queued               bigint check (queued >= 0),
  requests_per_minute  bigint check (requests_per_minute >= 1),
  types                jsonb not null default '{}',  -- the first three again, for each type of task that has its own
  changed_at           timestamptz not null default now()
);

create index profiles_changed on profiles (changed_at);

select orchestrator_guard('profiles');
