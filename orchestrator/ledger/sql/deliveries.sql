-- name: see_delivery
update orchestrator_deliveries
set times_seen = times_seen + 1, seen_at = greatest(seen_at, $4::timestamptz)
where tenant = $1::text and source = $2::text and delivery_id = $3::text
returning task_id::text

-- name: deliveries
select id::text, source, delivery_id, event, scheme, secret, task_id::text, received_at, seen_at, times_seen, redelivered
from orchestrator_deliveries
where tenant = $1::text and id < $2::uuid
  and ($3::text is null or source = $3::text)
  and ($4::text is null or event = $4::text)
order by orchestrator_deliveries.id desc
limit $5::integer

-- name: delivery
select id::text, source, delivery_id, event, scheme, secret, task_id::text, received_at, seen_at, times_seen, redelivered
from orchestrator_deliveries
where tenant = $1::text and id = $2::uuid

-- name: count_redelivery
update orchestrator_deliveries
set redelivered = redelivered + 1
where tenant = $1::text and id = $2::uuid
returning redelivered

-- name: forget_deliveries
with old as materialized (
  select id
  from orchestrator_deliveries
  where seen_at < $1::timestamptz
  order by seen_at
  limit $2::integer
  for update skip locked
)
delete from orchestrator_deliveries d using old where d.id = old.id
