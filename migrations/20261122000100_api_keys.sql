-- API keys: who may call besides the admin. The key itself is nowhere, only its SHA-256.
create table orchestrator_api_keys (
  id            text primary key check (id ~ '^[0-9A-Za-z]{8}$'), -- a part of the key, and no secret
  tenant        text not null,
  name          text not null,
  env           text not null,                     -- the system it was made for: dev, test or prod
  hash          bytea not null check (length(hash) = 32),
  scopes        text[] not null,
  created_at    timestamptz not null default now(),
  created_by    text not null,                     -- as in `key:3fGh27Qx`, `user:<sub>`, `admin:admin`
  expires_at    timestamptz,                       -- of a key that was rotated: when the overlap ends
  last_used_at  timestamptz,                       -- to the minute
  revoked_at    timestamptz,
  rotated_to    text                               -- the key that replaces it
);
create index orchestrator_api_keys_tenant on orchestrator_api_keys (tenant, created_at desc, id desc);

select orchestrator_guard('orchestrator_api_keys');
