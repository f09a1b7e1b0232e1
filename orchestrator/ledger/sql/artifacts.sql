-- name: keep_artifact
-- What the name stood for is read, and locked, before it is replaced. Without a row the writer is stale.
with held as materialized (
  select id, tenant
  from orchestrator_tasks
  where id = $1::uuid and fence <= $2::bigint and status < 'succeeded'
  for no key update
), before as materialized (
  select a.id, a.fence, a.bucket
  from orchestrator_artifacts a
  join held h on h.id = a.task_id
  where a.name = $4::text
  for no key update of a
), kept as (
  insert into orchestrator_artifacts as a
    (id, task_id, tenant, fence, name, bucket, content_type, size_bytes, sha256)
  select $3::uuid, id, tenant, $2::bigint, $4::text, $5::text, $6::text, $7::bigint, decode($8::text, 'hex')
  from held
  where (select count(*) from before) >= 0
  on conflict (task_id, name) do update
    set id = excluded.id, fence = excluded.fence, bucket = excluded.bucket, content_type = excluded.content_type,
      size_bytes = excluded.size_bytes, sha256 = excluded.sha256, created_at = excluded.created_at
    where a.fence <= excluded.fence
  returning id
)
select b.id::text, b.fence, b.bucket
from kept
left join before b on b.id <> kept.id

-- name: artifacts
select id::text, task_id::text, fence, name, bucket, content_type, size_bytes, encode(sha256, 'hex') as sha256,
  created_at
from orchestrator_artifacts
where tenant = $1::text and task_id = $2::uuid and ($3::uuid is null or id > $3::uuid)
order by orchestrator_artifacts.id
limit $4::integer

-- name: artifact
select id::text, task_id::text, fence, name, bucket, content_type, size_bytes, encode(sha256, 'hex') as sha256,
  created_at
from orchestrator_artifacts
where tenant = $1::text and task_id = $2::uuid and id = $3::uuid

-- name: leftovers
-- Files that no row names and none ever will: their task takes no write under that fence any more. One whose task is
-- not known was pruned, or its system never kept it.
select coalesce(array_agg(f.place), '{}')
from unnest($1::uuid[], $2::bigint[], $3::uuid[]) with ordinality as f (task_id, fence, id, place)
left join orchestrator_tasks t on t.id = f.task_id
where not exists (select from orchestrator_artifacts a where a.id = f.id)
  and case when t.id is null then f.task_id < $4::uuid else t.status >= 'succeeded' or t.fence > f.fence end
