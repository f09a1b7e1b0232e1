-- Waiting without a worker: for child tasks, for a moment, for a lock. And steps that are begun and not yet finished.

alter type orchestrator_run_status add value 'parked';

alter table orchestrator_tasks
  add column called boolean not null default false,  -- its parent waits for its end
  add column awaited uuid[],                          -- while it waits: for the end of these children
  add column awaits_all boolean not null default false,  -- of all of them; otherwise of any
  add column awaits_lock text;                        -- while it waits: for this lock of its tenant

-- Of a waiting task `run_at` is the moment it waits for, if there is one.
create index orchestrator_tasks_timer on orchestrator_tasks (run_at) where status = 'waiting' and run_at is not null;
create index orchestrator_tasks_lockless on orchestrator_tasks (tenant, awaits_lock, id) where awaits_lock is not null;

create index orchestrator_tasks_awaiting on orchestrator_tasks (id)
  where status = 'waiting' and (awaited is not null or awaits_lock is not null);
create index orchestrator_tasks_called on orchestrator_tasks (parent_id) where called and status < 'succeeded';

-- A step has its result. A call has its child, whose end is the result; a sleep has its moment.
alter table orchestrator_steps
  alter column result drop not null,
  add column kind text not null default 'step' check (kind in ('step', 'call', 'sleep')),
  add column child_id uuid,
  add column wake_at timestamptz;

-- A lock is its row; a holder that is final holds nothing. The fence grows with every new holder.
create sequence orchestrator_lock_fence as bigint;
create table orchestrator_locks (
  tenant    text not null,
  name      text not null,
  task_id   uuid not null,
  fence     bigint not null,
  taken_at  timestamptz not null default now(),
  primary key (tenant, name)
);
alter table orchestrator_locks enable row level security;
