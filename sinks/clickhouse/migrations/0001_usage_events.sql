-- One row a counted event, as it came. Filled by loads only (`sinks/clickhouse/loads.py`).
create table if not exists usage_events (
    organization_id UUID,
    event_type LowCardinality(String),
    subject String,
    source LowCardinality(String),
    event_id String,
    time DateTime64(6, 'UTC'),
    arrival_at DateTime64(3, 'UTC'),
    topic LowCardinality(String),
    partition UInt16,
    offset Int64,
    load_id Int64,
    -- The record's value. ZSTD halves it against the default codec at the same speed of insertion.
    body String codec(ZSTD(1)),
    -- Serves: an event by its id; 1 % of the other granules are read in vain.
    index by_event_id event_id type bloom_filter(0.01) granularity 1,
    -- Serves: the ledger and the check for a restored Postgres, each minute, without reading rows.
    projection by_load (
        select topic, partition, load_id, count(), min(offset), max(offset) group by topic, partition, load_id
    )
)
engine = ${MergeTree}
-- A load inserts once a month of event time: the unit of repetition (DESIGN "Warehouse loads").
partition by toYYYYMM(time)
-- Serves: a tenant's newest events (reads the last day) and a subject's events between two times (a range a day).
order by (organization_id, toDate(time), subject, time)
settings ${deduplication}
