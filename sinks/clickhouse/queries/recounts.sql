-- What comparisons read: whole organizations at once, for checks and demos, not for request work.

-- name: hours_of_rollup
select toString(meter_id), subject, toStartOfHour(quarter_at) as hour, sum(events), sum(total), min(smallest),
    max(largest), argMaxIfMerge(latest), uniqExactMerge(uniques)
from meter_values_quarter_hourly
where organization_id = {organization_id:UUID}
group by meter_id, subject, hour

-- name: hours_of_values
select toString(meter_id), subject, toStartOfHour(time) as hour, count(), sum(toDecimal256(value, 18)), min(value),
    max(value), argMax(value, (time, partition, offset)), uniqExact(value_hash)
from meter_values
where organization_id = {organization_id:UUID}
group by meter_id, subject, hour

-- name: count_events
-- Rows, and identities: the same number unless an event was stored twice.
select count(), uniqExact((subject, source, event_id)) from usage_events where organization_id = {organization_id:UUID}
