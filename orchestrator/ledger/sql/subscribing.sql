-- name: subscribe
-- Nothing is stored for a tenant that has as many as it may.
insert into orchestrator_subscriptions (id, tenant, url, types, states, description)
select $1::uuid, $2::text, $3::text, $4::text[], $5::text[]::orchestrator_state[], $6::text
where (select count(*) from orchestrator_subscriptions where tenant = $2::text) < $7::integer
on conflict (id) do update set url = excluded.url  -- sent again when its commit was unknown
returning {subscription}

-- name: subscriptions
select {subscription}
from orchestrator_subscriptions
where tenant = $1::text
order by orchestrator_subscriptions.id desc

-- name: subscription
select {subscription}
from orchestrator_subscriptions
where tenant = $1::text and id = $2::uuid

-- name: unsubscribe
-- Notes that have not become tasks go too.
with gone as (
  delete from orchestrator_subscriptions where tenant = $1::text and id = $2::uuid returning tenant, id
), notes as (
  delete from orchestrator_callbacks c using gone g where c.tenant = g.tenant and c.subscription_id = g.id
)
select count(*) from gone

-- name: enable
update orchestrator_subscriptions
set disabled_at = null, disabled_reason = null, failures = 0, reported = true
where tenant = $1::text and id = $2::uuid
returning {subscription}

-- name: rotate
update orchestrator_subscriptions
set generation = generation + 1, rotated_at = now()
where tenant = $1::text and id = $2::uuid
returning {subscription}

-- name: callback_secret
select generation, rotated_at from orchestrator_callback_secrets where tenant = $1::text

-- name: rotate_callback_secret
-- The first is the one that signed unseen until now.
insert into orchestrator_callback_secrets as s (tenant, generation) values ($1::text, 1)
on conflict (tenant) do update set generation = s.generation + 1, rotated_at = now()
returning generation, rotated_at
