-- name: drop_database
drop database if exists {database:Identifier} sync

-- name: last_load
select greatest((select max(load_id) from usage_events), (select max(load_id) from meter_values))

-- name: partitions
select distinct partition_id from system.parts
where database = {database:String} and table = {table:String} and active
order by partition_id

-- name: replace_usage_events
-- Asked of the twin's database. Atomic, and without copying: the rebuilt parts are linked.
alter table {live:Identifier}.usage_events replace partition id {partition_id:String} from usage_events

-- name: replace_meter_values
alter table {live:Identifier}.meter_values replace partition id {partition_id:String} from meter_values

-- name: replace_meter_values_quarter_hourly
alter table {live:Identifier}.meter_values_quarter_hourly
    replace partition id {partition_id:String} from meter_values_quarter_hourly

-- name: drop_partition
alter table {live:Identifier}.{table:Identifier} drop partition id {partition_id:String}

-- name: usage_events
select count(), toString(sum(cityHash64(organization_id, event_type, subject, source, event_id, time, arrival_at, topic,
    partition, offset, load_id, body)))
from {database:Identifier}.usage_events

-- name: meter_values
select count(), toString(sum(cityHash64(organization_id, meter_id, aggregation, subject, time, partition, offset, load_id,
    value, ifNull(toString(value_hash), ''), group_values)))
from {database:Identifier}.meter_values

-- name: meter_values_quarter_hourly
-- By what the rows say once merged: how far parts are merged is no difference.
select count(), toString(sum(cityHash64(organization_id, meter_id, subject, quarter_at, group_values, n, t, s, l, v, u)))
from (
    select organization_id, meter_id, subject, quarter_at, group_values, sum(events) as n, sum(total) as t,
        min(smallest) as s, max(largest) as l, argMaxIfMerge(latest) as v, uniqExactMerge(uniques) as u
    from {database:Identifier}.meter_values_quarter_hourly
    group by organization_id, meter_id, subject, quarter_at, group_values
)
