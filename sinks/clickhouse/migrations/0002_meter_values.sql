-- One row an event and meter that read a value from it. Filled by loads only.
create table if not exists meter_values (
    organization_id UUID,
    meter_id UUID,
    aggregation LowCardinality(String),
    -- LowCardinality: sorting and grouping 10,000 subjects cost a third less; with 100,000 it is no slower than String.
    subject LowCardinality(String),
    time DateTime64(6, 'UTC'),
    partition UInt16,
    offset Int64,
    load_id Int64,
    -- 0 for COUNT and UNIQUE_COUNT.
    value Decimal(38, 18),
    -- UNIQUE_COUNT only: 16 bytes that stand for the value.
    value_hash Nullable(FixedString(16)),
    -- In the order of the meter's group_by, '' where the event has none.
    group_values Array(LowCardinality(String))
)
engine = ${MergeTree}
partition by toYYYYMM(time)
-- Serves: windows that are not made of whole quarter hours, of one meter and few subjects.
order by (organization_id, meter_id, subject, time)
settings ${deduplication}
