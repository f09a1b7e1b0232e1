-- name: server
select current_setting('server_version_num')::int / 10000 as major, current_setting('server_version') as version

-- name: is_migrated
select to_regclass('supabase_migrations.schema_migrations') is not null

-- name: known
select version from supabase_migrations.schema_migrations
