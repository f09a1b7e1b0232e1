-- What came by webhooks: one row for each delivery, written with its task in one statement. Its content is that task's
-- payload; what stands here outlives the task, so that a recorded request is still known when the task is forgotten.
create table orchestrator_deliveries (
  id           uuid primary key,                    -- of its first task
  tenant       text not null,
  source       text not null,
  delivery_id  text not null,                       -- equal for every repeat
  event        text not null,
  scheme       text not null,                       -- how it was proved
  secret       smallint not null,                   -- with which of the source's secrets, from 0
  task_id      uuid not null,                       -- another than the first where that was withdrawn or forgotten
  received_at  timestamptz not null,
  seen_at      timestamptz not null,                -- when it, or a repeat of it, last came
  times_seen   bigint not null default 1,
  redelivered  integer not null default 0,          -- how often somebody had it processed again
  unique (tenant, source, delivery_id)
);

create index orchestrator_deliveries_list on orchestrator_deliveries (tenant, id);
create index orchestrator_deliveries_seen on orchestrator_deliveries (seen_at);

select orchestrator_guard('orchestrator_deliveries');
