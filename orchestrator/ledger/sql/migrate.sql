-- name: lock
-- One number for all of ours. The lock ends with the transaction, so it holds behind a transaction pooler as well.
select pg_advisory_xact_lock(4706427015284350017)

-- name: prepare
-- The table of the Supabase CLI, as it makes it.
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text

-- name: known
select version from supabase_migrations.schema_migrations

-- name: record
insert into supabase_migrations.schema_migrations (version, statements, name) values ($1::text, $2::text[], $3::text)

-- name: stand_in
-- What Supabase brings, for a Postgres that is none: the roles and functions that policies name. What is there stays
-- as it is, and who may make none of it goes on without: only browsers would miss it.
do $$
declare
  wanted text;
begin
  if to_regrole('supabase_auth_admin') is not null then return; end if;
  foreach wanted in array array['anon', 'authenticated', 'service_role'] loop
    begin
      if to_regrole(wanted) is null then execute format('create role %I nologin noinherit', wanted); end if;
    exception when duplicate_object or unique_violation then null;  -- another database of this server was faster
    end;
  end loop;
  create schema if not exists auth;
  grant usage on schema auth, public to anon, authenticated, service_role;
  if to_regprocedure('auth.jwt()') is null then
    create function auth.jwt() returns jsonb language sql stable as
      $f$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb $f$;
  end if;
  if to_regprocedure('auth.uid()') is null then
    create function auth.uid() returns uuid language sql stable as $f$
      select coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''), auth.jwt() ->> 'sub')::uuid $f$;
  end if;
  if to_regprocedure('auth.role()') is null then
    create function auth.role() returns text language sql stable as $f$
      select coalesce(nullif(current_setting('request.jwt.claim.role', true), ''), auth.jwt() ->> 'role') $f$;
  end if;
exception when insufficient_privilege then
  raise notice 'no roles and functions as on Supabase: %', sqlerrm;
end $$
