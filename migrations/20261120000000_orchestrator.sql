-- The tables of the orchestrator. Every row names its tenant; every row a worker writes names its fence.
-- Runs on Postgres 15 and later, Supabase included: core functions only.
--
-- JSON that only travels through (payload, result, progress, what handlers tell) is `json`: it is stored as it was
-- sent, and nothing that is JSON is refused. What is searched or grouped by (tags, error) is `jsonb`.

-- The order counts: what has not started, what has not ended, what is final. Statements and indexes compare by it.
create type orchestrator_state as enum (
  'scheduled', 'queued', 'running', 'retrying', 'waiting', 'succeeded', 'failed', 'cancelled', 'expired'
);
create type orchestrator_run_status as enum (
  'running', 'succeeded', 'failed', 'released', 'crashed', 'cancelled'
);

-- A fence is epoch × 2^36 + a counter in Redis; a Redis that forgot takes the next epoch.
create sequence orchestrator_epoch as bigint minvalue 1 maxvalue 131071;

create table orchestrator_tasks (
  id               uuid primary key,
  tenant           text not null,
  type             text not null,
  status           orchestrator_state not null,
  queue            text not null,
  priority         smallint not null check (priority between 0 and 9),
  payload          json not null,
  result           json,
  error            jsonb,
  progress         json,
  tags             jsonb not null default '{}',
  attempt          integer not null default 0,
  crashes          smallint not null default 0,
  max_retries      integer not null,
  timeout_seconds  double precision not null,
  idempotency_key  text,
  key_held         boolean not null default false,  -- the key still answers for this task
  key_until_final  boolean not null default false,
  key_expires_at   timestamptz,
  fingerprint      bytea,                           -- of the request, where there is a key
  parent_id        uuid,
  delayed          boolean not null default false,  -- not due when it was created
  run_at           timestamptz,                     -- due: of a scheduled task, or of the next attempt
  expires_at       timestamptz,
  created_at       timestamptz not null,
  started_at       timestamptz,
  finished_at      timestamptz,
  worker_id        text,
  traceparent      text not null,
  cost_usd         double precision not null default 0,
  fence            bigint not null default 0        -- the newest writer; an older one changes nothing
) with (autovacuum_vacuum_scale_factor = 0.05);

create unique index orchestrator_tasks_key on orchestrator_tasks (tenant, idempotency_key) where key_held;
create index orchestrator_tasks_list on orchestrator_tasks (tenant, status, id);
create index orchestrator_tasks_live on orchestrator_tasks (id) where status < 'succeeded';
create index orchestrator_tasks_expiring on orchestrator_tasks (expires_at)
  where expires_at is not null and status < 'running';
create index orchestrator_tasks_dead on orchestrator_tasks (tenant, id) where status = 'failed';
create index orchestrator_tasks_parent on orchestrator_tasks (parent_id, id) where parent_id is not null;
create index orchestrator_tasks_tags on orchestrator_tasks using gin (tags jsonb_path_ops) where tags <> '{}';

-- One row per attempt; its fence names it. No foreign key: its check would cost more than the insert, and rows are
-- deleted only by the prune chore, which takes a task's runs, events and steps with it.
create table orchestrator_runs (
  task_id      uuid not null,
  fence        bigint not null,
  tenant       text not null,
  attempt      integer not null,
  status       orchestrator_run_status not null,
  worker_id    text not null,
  started_at   timestamptz not null,
  finished_at  timestamptz,
  error        jsonb,
  becomes      orchestrator_state,                  -- what the task became at this run's end
  ended_by     bigint,                              -- the fence that wrote its end: another's after a crash
  primary key (task_id, fence)
);

-- What handlers told: log, progress, token; and the rare status that follows from no run (a replay by hand).
create table orchestrator_events (
  task_id  uuid not null,
  fence    bigint not null,
  number   integer not null,
  tenant   text not null,
  kind     text not null,
  data     json not null,
  at       timestamptz not null,
  primary key (task_id, fence, number)
);

-- Results of durable steps: a retry answers from here.
create table orchestrator_steps (
  task_id      uuid not null,
  name         text not null,
  tenant       text not null,
  fence        bigint not null,
  result       json not null,
  finished_at  timestamptz not null default now(),
  primary key (task_id, name)
);

-- A queue that was paused, so that an emptied Redis learns it again.
create table orchestrator_queues (
  name       text primary key,
  paused     boolean not null default false,
  changed_at timestamptz not null default now()
);

-- Supabase serves the schema `public` to browsers; without a policy these rows are for the owner alone.
alter table orchestrator_tasks enable row level security;
alter table orchestrator_runs enable row level security;
alter table orchestrator_events enable row level security;
alter table orchestrator_steps enable row level security;
alter table orchestrator_queues enable row level security;
