-- The walls between tenants, in Postgres itself: whatever a statement forgets, a row is seen and written only by the
-- tenant that the transaction acts for.
--
-- `aurea_app` is who the system is while it answers somebody: it cannot bypass row level security, and the tenant
-- stands in the claims of the transaction, as on Supabase. `aurea_system` is who it is for work of all tenants: taking
-- tasks, settling them, sweeping. Neither can log in; whoever applies this becomes a member of both.

do $$
declare
  wanted text;
begin
  foreach wanted in array array['aurea_app', 'aurea_system'] loop
    begin
      if to_regrole(wanted) is null then
        execute format('create role %I nologin noinherit nobypassrls', wanted);
      end if;
      execute format('grant %I to current_user', wanted);
    exception when duplicate_object or unique_violation or object_in_use then
      null;  -- roles belong to the whole server, and another database of it was being set up
    end;
  end loop;
end $$;

grant usage on schema public to aurea_app, aurea_system;

-- The tenant of a token: its claim app_metadata.tenant_id, else its sub. Null without claims: no row is seen.
create function orchestrator_tenant() returns text language sql stable set search_path = '' as $$
  select coalesce(claims -> 'app_metadata' ->> 'tenant_id', claims ->> 'sub')
  from (select nullif(current_setting('request.jwt.claims', true), '')::jsonb as claims) as given
$$;

-- Put the wall around a table that has a column `tenant`.
create function orchestrator_guard(target regclass) returns void language plpgsql set search_path = '' as $$
begin
  execute format('alter table %s enable row level security', target);
  execute format('alter table %s force row level security', target);
  execute format(
    'create policy tenant on %s to aurea_app using (tenant = (select public.orchestrator_tenant()))'
    ' with check (tenant = (select public.orchestrator_tenant()))', target);
  execute format('create policy system on %s to aurea_system using (true) with check (true)', target);
  execute format('grant select, insert, update, delete on %s to aurea_app, aurea_system', target);
end $$;
revoke execute on function orchestrator_guard(regclass) from public;

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
