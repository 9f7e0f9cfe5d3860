-- Who may see what. The API acts as `meterstream_api`, workers and commands as `meterstream_worker`: neither owns a
-- table, neither bypasses row-level security. Logins are made by whoever deploys, as members of one of the two.

do $$
declare
    name text;
begin
    foreach name in array array['meterstream_api', 'meterstream_worker'] loop
        begin
            execute format('create role %I nologin nobypassrls', name);
        exception when duplicate_object or unique_violation then
            null;  -- roles belong to the cluster: another database has made it
        end;
    end loop;
    -- The owner passes where workers pass: a forced policy holds for owners too.
    execute format('grant meterstream_worker, meterstream_api to %I', current_user);
end
$$;
grant usage on schema public to meterstream_api, meterstream_worker;

-- What a transaction of the API says of who asks; nothing said means nobody.
create function app_organization() returns uuid language sql stable parallel safe
    return nullif(current_setting('app.organization_id', true), '')::uuid;
create function app_user() returns text language sql stable parallel safe
    return nullif(current_setting('app.user_id', true), '');
create function app_operator() returns boolean language sql stable parallel safe
    return coalesce(current_setting('app.operator', true), '') = 'on';

-- Whose idempotency keys they are.
create function app_owner() returns text language sql stable parallel safe
    return case
        when app_organization() is not null then 'organization:' || app_organization()
        when app_user() is not null then 'user:' || app_user()
        when app_operator() then 'operators'
    end;

-- People who sign in, by the subject of their token; made when first seen.
create table users (
    id text primary key check (char_length(id) between 1 and 256),
    email text check (char_length(email) <= 320),
    created_at timestamptz not null default now(),
    seen_at timestamptz not null default now()
);

create table memberships (
    organization_id uuid not null references organizations (id),
    user_id text not null references users (id),
    role text not null check (role in ('owner', 'admin', 'analyst', 'support')),
    created_at timestamptz not null default now(),
    primary key (organization_id, user_id)
);
-- Serves: the organizations of a user.
create index memberships_by_user on memberships (user_id);

create table invitations (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null references organizations (id),
    email text not null check (char_length(email) between 3 and 320),
    role text not null check (role in ('owner', 'admin', 'analyst', 'support')),
    -- SHA-256 of a secret with 256 random bits, shown once.
    token_hash bytea not null unique,
    invited_by text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    accepted_at timestamptz,
    accepted_by text references users (id),
    revoked_at timestamptz
);
create index invitations_by_organization on invitations (organization_id, created_at desc);

-- Who did what, from where; never changed.
create table audit_log (
    id bigint generated always as identity primary key,
    organization_id uuid not null references organizations (id),
    at timestamptz not null default now(),
    actor text not null,
    action text not null,
    target_kind text not null,
    target_id text not null,
    before jsonb,
    after jsonb,
    address inet,
    request_id text not null default ''
);
create index audit_log_by_organization on audit_log (organization_id, id desc);

-- Answers of writes, so that a repetition gets the first one. `status` is null while the first is at work.
create table idempotency_keys (
    -- As app_owner() names the caller.
    owner text not null,
    -- SHA-256 of the client's key, with which the answer is encrypted: some answers tell a secret.
    key_hash bytea not null,
    request_hash bytea not null,
    status int,
    answer bytea,
    created_at timestamptz not null default now(),
    -- While at work: a crashed one may be begun again from here on.
    locked_until timestamptz not null,
    primary key (owner, key_hash)
);
create index idempotency_keys_by_age on idempotency_keys (created_at);

alter table api_keys add column created_by text not null default '';

-- A key says whose it is before anybody is known; only the hash of a secret finds it.
create function find_api_key(hash bytea) returns table (
    id text, organization_id text, organization text, name text, prefix text, scopes text[],
    created_at timestamptz, revoked_at timestamptz
) language sql stable security definer set search_path = public, pg_temp as $$
    select k.id::text, k.organization_id::text, o.slug, k.name, k.prefix, k.scopes, k.created_at, k.revoked_at
    from api_keys k
    left join organizations o on o.id = k.organization_id
    -- Only keys that work: not revoked, and their organization not archived.
    where k.key_hash = hash and k.revoked_at is null and o.archived_at is null
$$;
revoke execute on function find_api_key(bytea) from public;
grant execute on function find_api_key(bytea) to meterstream_api, meterstream_worker;

-- Whoever holds an invitation's secret is no member yet.
create function find_invitation(hash bytea) returns table (
    id text, organization_id text, organization text, email text, role text, expires_at timestamptz,
    accepted_at timestamptz, revoked_at timestamptz
) language sql stable security definer set search_path = public, pg_temp as $$
    select i.id::text, i.organization_id::text, o.slug, i.email, i.role, i.expires_at, i.accepted_at, i.revoked_at
    from invitations i
    join organizations o on o.id = i.organization_id
    where i.token_hash = hash and o.archived_at is null
$$;
revoke execute on function find_invitation(bytea) from public;
grant execute on function find_invitation(bytea) to meterstream_api;

-- Whose row it is, for tables that hang from an organization alone.
do $$
declare
    name text;
begin
    foreach name in array array['organizations', 'users', 'memberships', 'invitations', 'audit_log', 'api_keys', 'meters',
                                'dead_letters', 'dead_letter_decisions'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format('create policy workers on %I to meterstream_worker using (true) with check (true)', name);
    end loop;
    foreach name in array array['invitations', 'audit_log', 'api_keys', 'meters'] loop
        execute format('create policy tenant on %I to meterstream_api using (organization_id = (select app_organization()))', name);
    end loop;
end
$$;
create policy tenant on organizations to meterstream_api using (id = (select app_organization()));
create policy members on organizations for select to meterstream_api
    using (id in (select organization_id from memberships where user_id = (select app_user())));
create policy self on users to meterstream_api using (id = (select app_user()));
create policy tenant on users for select to meterstream_api
    using (id in (select user_id from memberships where organization_id = (select app_organization())));
create policy tenant on memberships to meterstream_api using (organization_id = (select app_organization()));
create policy self on memberships for select to meterstream_api using (user_id = (select app_user()));
-- Operators see what belongs to no tenant, and whose the rest is.
create policy operators on organizations for select to meterstream_api using ((select app_operator()));
create policy operators on api_keys for select to meterstream_api using ((select app_operator()));
create policy operators on meters for select to meterstream_api using ((select app_operator()));
create policy tenant on dead_letters to meterstream_api
    using (organization_id = (select app_organization()) or (select app_operator()));
create policy tenant on dead_letter_decisions to meterstream_api
    using (exists (
        select from dead_letters d
        where (d.topic, d.partition, d."offset", d.meter_id)
            = (dead_letter_decisions.topic, dead_letter_decisions.partition, dead_letter_decisions."offset",
               dead_letter_decisions.meter_id)));
-- An answer belongs to who asked.
alter table idempotency_keys enable row level security;
alter table idempotency_keys force row level security;
create policy owners on idempotency_keys to meterstream_api using (owner = (select app_owner()));
create policy workers on idempotency_keys to meterstream_worker using (true) with check (true);

-- Workers and commands do everything but change the schema.
grant select, insert, update, delete, truncate on all tables in schema public to meterstream_worker;
grant usage on all sequences in schema public to meterstream_worker;
alter default privileges in schema public grant select, insert, update, delete, truncate on tables to meterstream_worker;
alter default privileges in schema public grant usage on sequences to meterstream_worker;
-- The API does what its routes do. Totals and the first-seen index are none of its business.
grant select, insert, update on organizations, users, memberships, invitations, api_keys, meters, dead_letter_decisions,
    idempotency_keys to meterstream_api;
grant select, insert on audit_log to meterstream_api;
grant delete on memberships, idempotency_keys to meterstream_api;
grant select on dead_letters, stream_positions, stream_topics, stream_blocks, warehouse_loads to meterstream_api;
grant select, update on catalogue_version to meterstream_api;
