-- name: lock_partition
-- First statement of a block: whoever changes the catalogue takes this lock exclusively, and waits for us or we for it.
select pg_advisory_xact_lock_shared(%(space)s, %(partition)s)

-- name: move_position
-- No row: the position is not where we stood, so this block is done already or another worker owns the partition.
update stream_positions set position = %(to_position)s
where consumer = 'metering' and topic = %(topic)s and partition = %(partition)s and position = %(from_position)s

-- name: read_position
select position from stream_positions
where consumer = 'metering' and topic = %(topic)s and partition = %(partition)s

-- name: add_series
insert into usage_series (organization_id, meter_id, subject)
select %(organization_id)s, %(meter_id)s, s from unnest(%(subjects)s::text[]) as s order by s
on conflict (meter_id, subject) do nothing

-- name: find_series
select subject, id from usage_series where meter_id = %(meter_id)s and subject = any (%(subjects)s)

-- name: add_sums
-- SUM, AVG and COUNT: quantities and events add up. Rows come in primary-key order.
insert into usage_buckets as b (series_id, minute, quantity, events)
select s, 'epoch'::timestamptz + m * interval '1 minute', q, e
from unnest(%(series)s::bigint[], %(minutes)s::int[], %(quantities)s::numeric[], %(events)s::bigint[]) as d (s, m, q, e)
on conflict (series_id, minute) do update
set quantity = b.quantity + excluded.quantity, events = b.events + excluded.events

-- name: add_smallest
insert into usage_buckets as b (series_id, minute, quantity, events)
select s, 'epoch'::timestamptz + m * interval '1 minute', q, e
from unnest(%(series)s::bigint[], %(minutes)s::int[], %(quantities)s::numeric[], %(events)s::bigint[]) as d (s, m, q, e)
on conflict (series_id, minute) do update
set quantity = least(b.quantity, excluded.quantity), events = b.events + excluded.events

-- name: add_largest
insert into usage_buckets as b (series_id, minute, quantity, events)
select s, 'epoch'::timestamptz + m * interval '1 minute', q, e
from unnest(%(series)s::bigint[], %(minutes)s::int[], %(quantities)s::numeric[], %(events)s::bigint[]) as d (s, m, q, e)
on conflict (series_id, minute) do update
set quantity = greatest(b.quantity, excluded.quantity), events = b.events + excluded.events

-- name: add_latest
-- A later offset wins at equal times; a series lives in one partition, so offsets compare.
insert into usage_buckets as b (series_id, minute, quantity, events, latest_time_us, latest_offset)
select s, 'epoch'::timestamptz + m * interval '1 minute', q, e, t, o
from unnest(
    %(series)s::bigint[], %(minutes)s::int[], %(quantities)s::numeric[], %(events)s::bigint[],
    %(times_us)s::bigint[], %(offsets)s::bigint[]
) as d (s, m, q, e, t, o)
on conflict (series_id, minute) do update
set events = b.events + excluded.events,
    quantity = case when (excluded.latest_time_us, excluded.latest_offset) > (b.latest_time_us, b.latest_offset)
        then excluded.quantity else b.quantity end,
    latest_time_us = greatest(b.latest_time_us, excluded.latest_time_us),
    latest_offset = case when (excluded.latest_time_us, excluded.latest_offset) > (b.latest_time_us, b.latest_offset)
        then excluded.latest_offset else b.latest_offset end

-- name: add_values
-- UNIQUE_COUNT: a value seen before changes nothing.
insert into usage_values (series_id, minute, value_hash)
select s, 'epoch'::timestamptz + m * interval '1 minute', v
from unnest(%(series)s::bigint[], %(minutes)s::int[], %(hashes)s::bytea[]) as d (s, m, v)
on conflict do nothing

-- name: add_dead_letters
insert into dead_letters
    (topic, partition, "offset", meter_id, organization_id, code, message, event_id, arrival_at, raw, raw_bytes)
select %(topic)s, %(partition)s, o, m, org, c, t, e, 'epoch'::timestamptz + a * interval '1 millisecond', r, n
from unnest(
    %(offsets)s::bigint[], %(meters)s::uuid[], %(organizations)s::uuid[], %(codes)s::text[], %(messages)s::text[],
    %(event_ids)s::text[], %(arrivals_ms)s::bigint[], %(raws)s::bytea[], %(sizes)s::bigint[]
) as d (o, m, org, c, t, e, a, r, n)
on conflict do nothing

-- name: add_block
insert into stream_blocks
    (topic, partition, from_position, to_position, records, counted, duplicates, rejected, forwarded, arrival_hour,
     rules_version, catalogue_version, counted_bits)
values
    (%(topic)s, %(partition)s, %(from_position)s, %(to_position)s, %(records)s, %(counted)s, %(duplicates)s,
     %(rejected)s, %(forwarded)s, 'epoch'::timestamptz + %(arrival_hour)s * interval '1 hour',
     %(rules_version)s, %(catalogue_version)s, %(counted_bits)s)

-- name: tell_block
-- Wakes the warehouse; it also polls.
select pg_notify('stream_blocks', %(partition)s::text)
