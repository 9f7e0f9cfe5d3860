-- name: begin
-- Empty twins of every derived table, found before the live ones on the search path "rebuild, public".
drop schema if exists rebuild cascade;
create schema rebuild;
create table rebuild.usage_series (like public.usage_series including all);
create table rebuild.usage_buckets (like public.usage_buckets including all);
create table rebuild.usage_values (like public.usage_values including all);
create table rebuild.stream_positions (like public.stream_positions including all);
create table rebuild.stream_blocks (like public.stream_blocks including all);
create table rebuild.dead_letters (like public.dead_letters including all)

-- name: other_topics
-- Totals do not say of which topic they are.
select distinct topic from public.stream_blocks where topic <> %(topic)s order by topic

-- name: journal
-- The live journal's rows over a stretch of the log: its replay is journaled by the same bounds.
select from_position, to_position, catalogue_version
from public.stream_blocks
where topic = %(topic)s and partition = %(partition)s
    and from_position < %(to_position)s and to_position > %(from_position)s
order by from_position

-- name: lock_partition
-- Session-level and exclusive: no block and no catalogue change until the swap is done; our own blocks pass.
select pg_advisory_lock(%(space)s, %(partition)s)

-- name: unlock_all
select pg_advisory_unlock_all()

-- name: checksums
-- Live and rebuilt, table by table: rows, and an order-free sum of row hashes. Series by name, without clock columns.
select 'usage_buckets' as "table", which, count(*), coalesce(sum(hashtextextended(
           concat_ws('|', organization_id, meter_id, subject, extract(epoch from minute)::bigint,
                     trim_scale(quantity), events, latest_time_us, latest_offset), 0)::numeric), 0)
from (
    select 'live' as which, s.organization_id, s.meter_id, s.subject, b.*
    from public.usage_buckets b join public.usage_series s on s.id = b.series_id
    union all
    select 'rebuilt', s.organization_id, s.meter_id, s.subject, b.*
    from rebuild.usage_buckets b join rebuild.usage_series s on s.id = b.series_id
) both_buckets group by which
union all
select 'usage_values', which, count(*), coalesce(sum(hashtextextended(
           concat_ws('|', organization_id, meter_id, subject, extract(epoch from minute)::bigint, value_hash), 0)::numeric), 0)
from (
    select 'live' as which, s.organization_id, s.meter_id, s.subject, v.*
    from public.usage_values v join public.usage_series s on s.id = v.series_id
    union all
    select 'rebuilt', s.organization_id, s.meter_id, s.subject, v.*
    from rebuild.usage_values v join rebuild.usage_series s on s.id = v.series_id
) both_values group by which
union all
select 'stream_positions', which, count(*), coalesce(sum(hashtextextended(
           concat_ws('|', consumer, topic, partition, position), 0)::numeric), 0)
from (
    -- A partition that never had a record may have no row, or one that stands at 0.
    select 'live' as which, * from public.stream_positions
    where consumer = 'metering' and topic = %(topic)s and position > 0
    union all
    select 'rebuilt', * from rebuild.stream_positions where position > 0
) both_positions group by which
union all
select 'stream_blocks', which, count(*), coalesce(sum(hashtextextended(
           concat_ws('|', topic, partition, from_position, to_position, records, counted, duplicates, rejected, forwarded,
                     extract(epoch from arrival_hour)::bigint, rules_version, catalogue_version, counted_bits), 0)::numeric), 0)
from (
    select 'live' as which, * from public.stream_blocks where topic = %(topic)s
    union all
    select 'rebuilt', * from rebuild.stream_blocks
) both_blocks group by which
union all
select 'dead_letters', which, count(*), coalesce(sum(hashtextextended(
           concat_ws('|', topic, partition, "offset", meter_id, organization_id, code, message, event_id,
                     extract(epoch from arrival_at), raw, raw_bytes), 0)::numeric), 0)
from (
    select 'live' as which, * from public.dead_letters where topic = %(topic)s
    union all
    select 'rebuilt', * from rebuild.dead_letters
) both_letters group by which
order by 1, 2

-- name: swap
-- One transaction: readers see the old rows or the new ones. Grants, views and indexes of the live tables stay.
truncate public.usage_buckets, public.usage_values, public.usage_series;
insert into public.usage_series overriding system value select * from rebuild.usage_series;
insert into public.usage_buckets select * from rebuild.usage_buckets;
insert into public.usage_values select * from rebuild.usage_values;
select setval(pg_get_serial_sequence('public.usage_series', 'id'), coalesce(max(id), 1), max(id) is not null)
from public.usage_series

-- name: raise_version
-- Workers remember the numbers of series, and have to learn them anew: they do when the catalogue is not theirs.
update public.catalogue_version set version = version + 1

-- name: drop_journal
-- Of one topic only: older topic versions keep theirs.
with gone_blocks as (delete from public.stream_blocks where topic = %(topic)s)
delete from public.dead_letters where topic = %(topic)s

-- name: fill_positions
insert into public.stream_positions select * from rebuild.stream_positions
on conflict (consumer, topic, partition) do update set position = excluded.position

-- name: fill_blocks
insert into public.stream_blocks select * from rebuild.stream_blocks

-- name: fill_dead_letters
insert into public.dead_letters select * from rebuild.dead_letters

-- name: end
drop schema if exists rebuild cascade
