-- name: append
select orchestrator_audit_append($1::jsonb, $2::boolean)

-- name: newest_lines
select number, id::text, tenant, at, actor_kind, actor_id, action, targets, status, address, trace_id, details::text, hash
from orchestrator_audit
where tenant = $1::text and ($2::bigint is null or number < $2)
  and ($3::text is null or actor_id = $3) and ($4::text is null or action = $4)
  and ($5::text is null or $5 = any(targets))
  and ($6::timestamptz is null or at >= $6) and ($7::timestamptz is null or at < $7)
order by number desc
limit $8

-- name: oldest_lines
select number, id::text, tenant, at, actor_kind, actor_id, action, targets, status, address, trace_id, details::text, hash
from orchestrator_audit
where tenant = $1::text and ($2::bigint is null or number > $2)
  and ($3::text is null or actor_id = $3) and ($4::text is null or action = $4)
  and ($5::text is null or $5 = any(targets))
  and ($6::timestamptz is null or at >= $6) and ($7::timestamptz is null or at < $7)
order by number
limit $8
