-- Webhooks that go out: who is told of final states, and the notes of what they are still to be told.
--
-- A note is written by the statement that makes a task final, whichever that is, so it is there exactly when the ending
-- is. The chore `callbacks` makes each note a task of the type `webhook_deliver` and removes it.

alter table orchestrator_tasks add column callback_url text;  -- is told of its final state, too

create table orchestrator_subscriptions (
  id               uuid primary key,
  tenant           text not null,
  url              text not null,
  types            text[],                            -- only of tasks of these types; null: of all
  states           orchestrator_state[],              -- only of these final states; null: of all
  description      text not null,
  generation       integer not null default 1,        -- of its secret
  rotated_at       timestamptz,                       -- for a day from here the secret before signs, too
  failures         integer not null default 0,        -- deliveries given up since the last that arrived
  disabled_at      timestamptz,
  disabled_reason  text,
  reported         boolean not null default true,     -- people were told that it is disabled
  created_at       timestamptz not null default now()
);
create index orchestrator_subscriptions_list on orchestrator_subscriptions (tenant, id);
create index orchestrator_subscriptions_unreported on orchestrator_subscriptions (id) where not reported;

-- The secret that signs what goes to a tenant's `callback_url`s. Without a row: the first generation.
create table orchestrator_callback_secrets (
  tenant      text primary key,
  generation  integer not null,
  rotated_at  timestamptz
);

create table orchestrator_callbacks (
  id               bigint generated always as identity primary key,
  tenant           text not null,
  subscription_id  uuid,                              -- null: for the task's own callback_url
  url              text,
  task_id          uuid not null,
  fence            bigint not null,                   -- of the ending: with the task it names the event
  traceparent      text not null,
  status           orchestrator_state not null,
  told             json not null,                     -- the task as it ended, but for its result
  result           json,                              -- null, too, where it is longer than an event should be
  ended_at         timestamptz not null
);

select orchestrator_guard('orchestrator_subscriptions');
select orchestrator_guard('orchestrator_callback_secrets');
select orchestrator_guard('orchestrator_callbacks');

-- A moment as the API writes it.
create function orchestrator_moment(at timestamptz) returns text language sql stable set search_path = '' as $$
  select to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

-- What an event tells of a task. The payload is not part of it.
create function orchestrator_told(t orchestrator_tasks) returns json language sql stable set search_path = '' as $$
  select json_build_object(
    'id', t.id, 'type', t.type, 'status', t.status, 'error', t.error, 'tags', t.tags, 'attempt', t.attempt,
    'idempotency_key', t.idempotency_key, 'parent_id', t.parent_id,
    'created_at', public.orchestrator_moment(t.created_at), 'started_at', public.orchestrator_moment(t.started_at),
    'finished_at', public.orchestrator_moment(t.finished_at), 'cost_usd', t.cost_usd,
    'result_omitted', coalesce(octet_length(t.result::text) > 16384, false),
    'links', json_build_object('self', '/tasks/' || t.id, 'stream', '/stream/' || t.id))
$$;

create function orchestrator_told_result(t orchestrator_tasks) returns json language sql stable set search_path = ''
as $$
  select case when octet_length(t.result::text) <= 16384 then t.result end
$$;

-- For the task's own callback_url. Fired for each row that has one, so it costs nothing where there is none. A fence of
-- 0 is that of a row that was taken back: the task that was accepted in its place will tell.
create function orchestrator_call_back() returns trigger language plpgsql set search_path = '' as $$
begin
  insert into public.orchestrator_callbacks (tenant, url, task_id, fence, traceparent, status, told, result, ended_at)
  select new.tenant, new.callback_url, new.id, new.fence, new.traceparent, new.status, public.orchestrator_told(new),
    public.orchestrator_told_result(new), coalesce(new.finished_at, now());
  return null;
end $$;

create trigger call_back after update of status on orchestrator_tasks for each row
  when (new.callback_url is not null and old.status < 'succeeded' and new.status >= 'succeeded' and new.fence > 0)
  execute function orchestrator_call_back();

-- For subscriptions: once for each statement, however many tasks it ended, and over at once where nobody subscribed.
-- Deliveries do not announce themselves.
create function orchestrator_announce() returns trigger language plpgsql set search_path = '' as $$
begin
  if exists (select from public.orchestrator_subscriptions s where s.disabled_at is null) then
    insert into public.orchestrator_callbacks (
      tenant, subscription_id, task_id, fence, traceparent, status, told, result, ended_at)
    select t.tenant, s.id, t.id, t.fence, t.traceparent, t.status, public.orchestrator_told(t),
      public.orchestrator_told_result(t), coalesce(t.finished_at, now())
    from ended e
    join live l on l.id = e.id and l.status < 'succeeded'
    join public.orchestrator_subscriptions s on s.tenant = e.tenant and s.disabled_at is null
      and (s.types is null or e.type = any(s.types)) and (s.states is null or e.status = any(s.states))
    join public.orchestrator_tasks t on t.id = e.id
    where e.status >= 'succeeded' and e.type <> 'webhook_deliver' and e.fence > 0;
  end if;
  return null;
end $$;

create trigger announce after update on orchestrator_tasks referencing old table as live new table as ended
  for each statement execute function orchestrator_announce();

-- What a delivery came to decides about its subscription in the same transaction: one that arrived clears the count,
-- 410 disables at once, and so does the tenth in a row that was given up. What was found disabled says nothing new.
create function orchestrator_judge() returns trigger language plpgsql set search_path = '' as $$
begin
  if new.status = 'succeeded' then
    update public.orchestrator_subscriptions s set failures = 0
    where s.tenant = new.tenant and s.id::text = new.tags ->> 'subscription' and s.failures > 0;
  else
    update public.orchestrator_subscriptions s
    set failures = s.failures + 1, reported = not v.ends, disabled_at = case when v.ends then now() end,
      disabled_reason = case when v.gone then 'the endpoint answered 410 Gone'
        when v.ends then '10 deliveries in a row were given up' end
    from (
      select o.id, new.error ->> 'type' = 'EndpointGone' as gone,
        new.error ->> 'type' = 'EndpointGone' or o.failures >= 9 as ends
      from public.orchestrator_subscriptions o
      where o.tenant = new.tenant and o.id::text = new.tags ->> 'subscription' and o.disabled_at is null
        and new.error ->> 'type' is distinct from 'EndpointClosed'
      for no key update
    ) as v
    where s.id = v.id;
  end if;
  return null;
end $$;

create trigger judge after update of status on orchestrator_tasks for each row
  when (new.type = 'webhook_deliver' and old.status < 'succeeded' and new.status in ('succeeded', 'failed'))
  execute function orchestrator_judge();

select orchestrator_close(target::regprocedure)
from unnest(array[
  'orchestrator_moment(timestamptz)', 'orchestrator_told(orchestrator_tasks)',
  'orchestrator_told_result(orchestrator_tasks)', 'orchestrator_call_back()', 'orchestrator_announce()',
  'orchestrator_judge()'
]) as ours (target);
grant execute on function
  orchestrator_moment(timestamptz), orchestrator_told(orchestrator_tasks), orchestrator_told_result(orchestrator_tasks)
to aurea_app, aurea_system;
