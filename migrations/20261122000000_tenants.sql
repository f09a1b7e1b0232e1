-- The walls between tenants, in Postgres itself: whatever a statement forgets, a row is seen and written only by the
-- tenant that the transaction acts for.
--
-- `aurea_app` is who the system is while it answers somebody: it cannot bypass row level security, and the tenant
-- stands in the claims of the transaction, as on Supabase. `aurea_system` is who it is for work of all tenants: taking
-- tasks, settling them, sweeping. Neither can log in. Whoever applies this becomes a member of both, and so is every
-- login of the system that does not own the tables: `grant aurea_app, aurea_system to <login>`.

do $$
declare
  wanted text;
begin
  foreach wanted in array array['aurea_app', 'aurea_system'] loop
    begin
      if to_regrole(wanted) is null then
        execute format('create role %I nologin noinherit', wanted);
      end if;
    exception when duplicate_object or unique_violation then
      null;  -- roles belong to the whole server, and another database of it was being set up
    end;
  end loop;
  -- What is inherited holds all the time, what can be set is put on for a transaction. Before Postgres 16 both go with
  -- membership; then the policies for all tenants hold for the login, and still not for `aurea_app`.
  if current_setting('server_version_num')::integer >= 160000 then
    if not pg_has_role(current_user, 'aurea_app', 'set') then
      execute 'grant aurea_app to current_user with inherit false, set true';
    end if;
    if not pg_has_role(current_user, 'aurea_system', 'usage') then
      execute 'grant aurea_system to current_user with inherit true';
    end if;
  else
    if not pg_has_role(current_user, 'aurea_app', 'member') then
      grant aurea_app to current_user;
    end if;
    if not pg_has_role(current_user, 'aurea_system', 'member') then
      grant aurea_system to current_user;
    end if;
  end if;
  if not pg_has_role(current_user, 'aurea_system', 'usage') then
    raise exception 'the role % does not inherit: it would see no row', current_user
      using hint = format('alter role %I inherit', current_user);
  end if;
end $$;

grant usage on schema public to aurea_app, aurea_system;

-- The tenant of a token: its claim app_metadata.tenant_id, which users cannot change, else its sub. Null without
-- claims: no row is seen. Never the empty name, which stands for the whole system.
create function orchestrator_tenant() returns text language sql stable set search_path = '' as $$
  select coalesce(nullif(claims -> 'app_metadata' ->> 'tenant_id', ''), nullif(claims ->> 'sub', ''))
  from (select nullif(current_setting('request.jwt.claims', true), '')::jsonb as claims) as given
$$;

-- Take from Supabase's browser roles what a project's defaults may have given them. `truncate` asks no policy.
create function orchestrator_shut(target regclass) returns void language plpgsql set search_path = '' as $$
declare
  browser text;
begin
  foreach browser in array array['anon', 'authenticated'] loop
    if to_regrole(browser) is not null then
      execute format('revoke all on %s from %I', target, browser);
    end if;
  end loop;
end $$;

-- The same for functions: what is in this schema can be called from outside there, unless it is taken away.
create function orchestrator_close(target regprocedure) returns void language plpgsql set search_path = '' as $$
declare
  browser text;
begin
  execute format('revoke execute on function %s from public', target);
  foreach browser in array array['anon', 'authenticated'] loop
    if to_regrole(browser) is not null then
      execute format('revoke execute on function %s from %I', target, browser);
    end if;
  end loop;
end $$;

-- Put the wall around a table that has a column `tenant`.
create function orchestrator_guard(target regclass) returns void language plpgsql set search_path = '' as $$
begin
  perform public.orchestrator_shut(target);
  execute format('alter table %s enable row level security', target);
  execute format('alter table %s force row level security', target);
  execute format(
    'create policy tenant on %s to aurea_app using (tenant = (select public.orchestrator_tenant()))'
    ' with check (tenant = (select public.orchestrator_tenant()))', target);
  execute format('create policy system on %s to aurea_system using (true) with check (true)', target);
  execute format('grant select, insert, update, delete on %s to aurea_app, aurea_system', target);
end $$;

-- Let a signed-in user's browser read some columns of its tenant's rows, by PostgREST and Realtime. Not for what may
-- hold secrets: what a task was given and what it returned is read through the API, which asks for scopes.
create function orchestrator_show(target regclass, columns text) returns void language plpgsql set search_path = '' as $$
begin
  if to_regrole('authenticated') is not null then
    execute format('grant select (%s) on %s to authenticated', columns, target);
    execute format(
      'create policy browser on %s for select to authenticated'
      ' using (tenant = (select public.orchestrator_tenant()))', target);
  end if;
end $$;

do $$
declare
  target text;
begin
  foreach target in array array[
    'tasks', 'runs', 'events', 'steps', 'locks', 'usage', 'reservations', 'spending', 'budgets', 'artifacts'
  ] loop
    perform orchestrator_guard(format('orchestrator_%s', target)::regclass);
  end loop;
end $$;

-- Queues belong to the system: they name no tenant, and nobody reads them as one.
alter table orchestrator_queues force row level security;
create policy system on orchestrator_queues to aurea_system using (true) with check (true);
grant select, insert, update, delete on orchestrator_queues to aurea_system;
grant usage, select on sequence orchestrator_epoch, orchestrator_lock_fence to aurea_system;
select orchestrator_shut(target::regclass)
from unnest(array['orchestrator_queues', 'orchestrator_epoch', 'orchestrator_lock_fence']) as system (target);

select
  orchestrator_show('orchestrator_tasks', 'id, tenant, type, status, queue, priority, progress, tags, attempt, '
    'max_retries, parent_id, run_at, expires_at, created_at, started_at, finished_at, cost_usd'),
  orchestrator_show('orchestrator_runs', 'task_id, fence, tenant, attempt, status, started_at, finished_at, becomes'),
  orchestrator_show('orchestrator_events', 'task_id, fence, number, tenant, kind, data, at'),
  orchestrator_show('orchestrator_artifacts', 'id, task_id, tenant, name, content_type, size_bytes, created_at');

select orchestrator_close(target::regprocedure)
from unnest(array[
  'orchestrator_guard(regclass)', 'orchestrator_shut(regclass)', 'orchestrator_show(regclass, text)',
  'orchestrator_close(regprocedure)'
]) as ours (target);
grant execute on function orchestrator_tenant() to public;
