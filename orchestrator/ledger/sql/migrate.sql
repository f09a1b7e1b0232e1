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
