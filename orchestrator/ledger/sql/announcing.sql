-- name: callbacks
select id, tenant, subscription_id::text, url, task_id::text, fence, traceparent, status::text, told, result, ended_at
from orchestrator_callbacks
where id > $1::bigint
order by orchestrator_callbacks.id
limit $2::integer

-- name: forget_callbacks
delete from orchestrator_callbacks where id = any($1::bigint[])

-- name: announce_again
-- Walks from the newest task. Tasks are found by when they were created; older than $4 none is looked for.
insert into orchestrator_callbacks (
  tenant, subscription_id, task_id, fence, traceparent, status, told, result, ended_at)
select t.tenant, $2::uuid, t.id, t.fence, t.traceparent, t.status, orchestrator_told(t), orchestrator_told_result(t),
  t.finished_at
from orchestrator_tasks t
join orchestrator_subscriptions s on s.id = $2::uuid and s.tenant = t.tenant
where t.tenant = $1::text and t.status >= 'succeeded' and t.finished_at >= $3::timestamptz and t.id >= $4::uuid
  and t.type <> 'webhook_deliver' and t.fence > 0
  and (s.types is null or t.type = any(s.types)) and (s.states is null or t.status = any(s.states))
order by t.id desc
limit $5::integer

-- name: unreported
-- Each is answered once, to one caller.
update orchestrator_subscriptions set reported = true
where not reported
returning id::text, tenant, disabled_reason
