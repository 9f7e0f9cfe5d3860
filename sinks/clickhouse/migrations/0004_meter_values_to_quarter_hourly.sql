-- Runs within each insert into meter_values; a repeated insertion token reaches neither table twice.
create materialized view if not exists meter_values_to_quarter_hourly to meter_values_quarter_hourly as
select
    organization_id,
    meter_id,
    subject,
    toStartOfFifteenMinutes(time) as quarter_at,
    group_values,
    count() as events,
    sum(toDecimal256(value, 18)) as total,
    min(value) as smallest,
    max(value) as largest,
    argMaxStateIf(value, (time, partition, offset), aggregation = 'LATEST') as latest,
    uniqExactState(value_hash) as uniques
from meter_values
group by organization_id, meter_id, subject, quarter_at, group_values
