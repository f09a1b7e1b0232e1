-- Files that tasks keep: what is known of each. The bytes are in the store of artifacts, under a key made of the ids
-- and the fence that stand here.
create table orchestrator_artifacts (
  id            uuid primary key,                   -- made for one call of one attempt
  task_id       uuid not null,
  tenant        text not null,
  fence         bigint not null,
  name          text not null,                      -- a label for people; never part of a key
  bucket        text not null check (bucket in ('orchestrator', 'content')),
  content_type  text not null,
  size_bytes    bigint not null,
  sha256        bytea not null,
  created_at    timestamptz not null default now(),
  unique (task_id, name)                            -- the same name again replaces it
);

alter table orchestrator_artifacts enable row level security;
