-- The audit: who changed what, when and from where. Lines are only ever added; each carries a hash over itself and the
-- hash of the line before it in its tenant's trail, so that what was altered or taken out later is found.

create table orchestrator_audit (
  tenant      text not null,
  number      bigint not null,                  -- 1, 2, 3, ... within the tenant, without a gap
  id          uuid not null unique,             -- made with the line: one that is sent twice is kept once
  at          timestamptz not null,             -- by the clock of who wrote the line
  actor_kind  text not null,
  actor_id    text not null,
  action      text not null,                    -- the operation's id in the OpenAPI document
  targets     text[] not null,                  -- what it was done to
  status      smallint not null,                -- how HTTP answered
  address     text not null,
  trace_id    text not null,
  details     jsonb not null,                   -- texts and whole numbers; nothing that was in a payload
  hash        bytea not null,                   -- SHA-256 of: the hash before, the number (8 bytes), the line's digest
  primary key (tenant, number)
);
create index orchestrator_audit_at on orchestrator_audit using brin (at);

-- Whoever tries to mend the past, the owner of the table included.
create function orchestrator_audit_is_kept() returns trigger language plpgsql set search_path = '' as $$
begin
  raise exception 'lines of the audit are never changed and never deleted' using errcode = 'insufficient_privilege';
end $$;
create trigger kept before update or delete or truncate on orchestrator_audit
  for each statement execute function orchestrator_audit_is_kept();

select orchestrator_guard('orchestrator_audit');
revoke update, delete on orchestrator_audit from aurea_app, aurea_system;
revoke insert on orchestrator_audit from aurea_app;

-- Add lines to their tenants' trails, in the order given; one that is there already is passed over. Each is an object
-- with its document and its digest in hexadecimal. Who adds to a trail holds its lock until he has committed. With
-- `soon` the commit does not wait for the disk. Plans are made once, and so as to be good for a large table.
create function orchestrator_audit_append(lines jsonb, soon boolean) returns void language plpgsql
  set search_path = '' set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
  line record;
  trail text;
  head bigint;
  chained bytea;
begin
  if soon then
    perform set_config('synchronous_commit', 'off', true);
  end if;
  for line in
    select l.given #>> '{document,tenant}' as tenant, l.given -> 'document' as told, l.given ->> 'digest' as digest
    from jsonb_array_elements(lines) with ordinality as l (given, place)
    order by 1, l.place
  loop
    if trail is distinct from line.tenant then
      trail := line.tenant;
      perform pg_advisory_xact_lock(hashtextextended('orchestrator_audit ' || trail, 0));
      select a.number, a.hash into head, chained
      from public.orchestrator_audit a where a.tenant = trail order by a.number desc limit 1;
      head := coalesce(head, 0);
      chained := coalesce(chained, decode(repeat('00', 32), 'hex'));
    end if;
    continue when exists (select from public.orchestrator_audit a where a.id = (line.told ->> 'id')::uuid);
    head := head + 1;
    chained := sha256(chained || int8send(head) || decode(line.digest, 'hex'));
    insert into public.orchestrator_audit values (
      trail, head, (line.told ->> 'id')::uuid, (line.told ->> 'at')::timestamptz, line.told #>> '{actor,kind}',
      line.told #>> '{actor,id}', line.told ->> 'action',
      array(select jsonb_array_elements_text(line.told -> 'targets')), (line.told ->> 'status')::smallint,
      line.told ->> 'address', line.told ->> 'trace_id', line.told -> 'details', chained
    );
  end loop;
end $$;

select
  orchestrator_close('orchestrator_audit_append(jsonb, boolean)'),
  orchestrator_close('orchestrator_audit_is_kept()');
grant execute on function orchestrator_audit_append(jsonb, boolean) to aurea_system;
