-- meter_values by quarter hours (zones have offsets at :30 and :45), filled by the view of the next migration.
create table if not exists meter_values_quarter_hourly (
    organization_id UUID,
    meter_id UUID,
    subject LowCardinality(String),
    quarter_at DateTime('UTC'),
    group_values Array(LowCardinality(String)),
    events SimpleAggregateFunction(sum, UInt64),
    -- 76 digits: a sum in Decimal(38, 18) overflows without an error.
    total SimpleAggregateFunction(sum, Decimal(76, 18)),
    smallest SimpleAggregateFunction(min, Decimal(38, 18)),
    largest SimpleAggregateFunction(max, Decimal(38, 18)),
    -- LATEST only, else empty: comparing (time, partition, offset) for every meter would double the cost of the view.
    latest AggregateFunction(argMaxIf, Decimal(38, 18), Tuple(DateTime64(6, 'UTC'), UInt16, Int64), UInt8),
    -- UNIQUE_COUNT only, else empty: the distinct values themselves, so that windows combine exactly.
    uniques AggregateFunction(uniqExact, Nullable(FixedString(16)))
)
engine = ${AggregatingMergeTree}
partition by toYYYYMM(quarter_at)
-- Serves: a meter's windows of one subject, or of all; groups last, because most queries want all of them.
order by (organization_id, meter_id, subject, quarter_at, group_values)
settings ${deduplication}
