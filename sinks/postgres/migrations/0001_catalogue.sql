-- Who may be counted and what is counted: decided by people, never rebuilt.

create table organizations (
    id uuid primary key default gen_random_uuid(),
    slug text not null unique check (slug ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    name text not null check (char_length(name) between 1 and 200),
    -- Position of each partition (element 1 = partition 0) from which its records are known, and up to which.
    effective_positions bigint[] not null,
    archived_positions bigint[],
    created_at timestamptz not null default now(),
    archived_at timestamptz
);

-- Immutable but for name and description: a replay of the log has to decide as the first run did.
create table meters (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null references organizations (id),
    slug text not null check (slug ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    name text not null check (char_length(name) between 1 and 200),
    description text not null default '' check (char_length(description) <= 2000),
    event_type text not null check (char_length(event_type) between 1 and 256),
    aggregation text not null
        check (aggregation in ('SUM', 'COUNT', 'UNIQUE_COUNT', 'AVG', 'MIN', 'MAX', 'LATEST')),
    value_property text,
    group_by jsonb not null default '{}',
    filters jsonb not null default '[]',
    effective_positions bigint[] not null,
    archived_positions bigint[],
    effective_at timestamptz not null default now(),
    archived_at timestamptz,
    -- A slug is never used again, so that a number asked for by slug means one thing for ever.
    unique (organization_id, slug),
    check ((aggregation = 'COUNT') = (value_property is null))
);

-- One row: raised by every change above, read first by every block.
create table catalogue_version (
    only_row boolean primary key default true check (only_row),
    version bigint not null
);
insert into catalogue_version (version) values (1);

create table api_keys (
    id uuid primary key default gen_random_uuid(),
    -- Null: an operator's key, for what belongs to no tenant.
    organization_id uuid references organizations (id),
    name text not null check (char_length(name) between 1 and 200),
    -- What is shown of the key after it was created.
    prefix text not null,
    -- SHA-256 of a key with 256 random bits; nothing slower is needed for such keys.
    key_hash bytea not null unique,
    scopes text[] not null check (scopes <@ array['ingest', 'read', 'admin', 'operator']),
    created_at timestamptz not null default now(),
    revoked_at timestamptz,
    check ((organization_id is null) = (scopes @> array['operator']))
);
-- Serves: list of an organization's keys.
create index api_keys_by_organization on api_keys (organization_id);
