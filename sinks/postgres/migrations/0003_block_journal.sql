-- What became of every record: positions, the block journal, dead letters, warehouse loads.

create table stream_positions (
    consumer text not null,
    topic text not null,
    partition int not null,
    position bigint not null,
    primary key (consumer, topic, partition)
);

-- One log, one truth: the cluster and topic that the positions belong to; another one is refused at start.
create table stream_topics (
    topic text primary key,
    topic_id text not null,
    cluster_id text not null,
    partitions int not null
);

create table stream_blocks (
    topic text not null,
    partition int not null,
    from_position bigint not null,
    to_position bigint not null,
    records bigint not null,
    counted bigint not null,
    duplicates bigint not null,
    rejected bigint not null,
    forwarded bigint not null,
    arrival_hour timestamptz not null,
    rules_version int not null,
    catalogue_version bigint not null,
    -- zlib of one bit a record, 1 = counted, in log order (numpy packbits); null: every record counted.
    counted_bits bytea,
    committed_at timestamptz not null default now(),
    primary key (topic, partition, from_position),
    check (to_position >= from_position),
    check (records = counted + duplicates + rejected + forwarded)
);
-- Serves: the ledger, per partition and arrival hour.
create index stream_blocks_by_hour on stream_blocks (topic, arrival_hour, partition);

create table dead_letters (
    topic text not null,
    partition int not null,
    "offset" bigint not null,
    -- The nil UUID: the whole record. Else the meter that could not read its value; the event still counts elsewhere.
    meter_id uuid not null default '00000000-0000-0000-0000-000000000000',
    organization_id uuid,
    code text not null,
    message text not null,
    event_id text,
    arrival_at timestamptz not null,
    raw bytea,
    raw_bytes bigint not null,
    primary key (topic, partition, "offset", meter_id)
);
-- Serves: an organization's dead letters, newest first; operators read those of no organization.
create index dead_letters_by_organization
    on dead_letters (organization_id, arrival_at desc, topic, partition, "offset", meter_id);

-- What people decided about dead letters: kept when dead letters are rebuilt.
create table dead_letter_decisions (
    topic text not null,
    partition int not null,
    "offset" bigint not null,
    meter_id uuid not null,
    -- redriving: intent written, the new record may or may not be in the log; repeating it is a duplicate at worst.
    decision text not null check (decision in ('redriving', 'redriven', 'discarded')),
    reason text not null default '',
    redriven_raw bytea,
    decided_by text not null,
    decided_at timestamptz not null default now(),
    primary key (topic, partition, "offset", meter_id)
);

create table warehouse_loads (
    id bigint generated always as identity primary key,
    topic text not null,
    partition int not null,
    from_position bigint not null,
    to_position bigint not null,
    counted bigint not null,
    state text not null default 'open' check (state in ('open', 'done')),
    opened_at timestamptz not null default now(),
    done_at timestamptz,
    unique (topic, partition, from_position),
    check (to_position > from_position)
);
-- At most one open load a partition: the next one starts where it ends.
create unique index warehouse_loads_open on warehouse_loads (topic, partition) where state = 'open';
