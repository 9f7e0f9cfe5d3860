-- name: snapshot
-- All statements of a ledger see one moment.
set transaction isolation level repeatable read, read only

-- name: hours
-- The ledger itself (G4).
select partition, arrival_hour, sum(records)::bigint as records, sum(counted)::bigint as counted,
    sum(duplicates)::bigint as duplicates, sum(rejected)::bigint as rejected, sum(forwarded)::bigint as forwarded
from stream_blocks
where topic = %(topic)s
    and (%(from_at)s::timestamptz is null or arrival_hour >= %(from_at)s)
    and (%(to_at)s::timestamptz is null or arrival_hour < %(to_at)s)
group by partition, arrival_hour
order by arrival_hour, partition

-- name: sums
-- Every record has exactly one fate.
select partition, from_position, to_position, records as expected, counted + duplicates + rejected + forwarded as found
from stream_blocks
where topic = %(topic)s and records <> counted + duplicates + rejected + forwarded

-- name: gaps
-- Each block starts where the last one ended; the first one at 0 unless old parts of the log may be gone.
select partition, from_position, to_position, expected, from_position as found
from (
    select partition, from_position, to_position,
        coalesce(
            lag(to_position) over (partition by partition order by from_position),
            case when %(whole_log)s then 0 else from_position end
        ) as expected
    from stream_blocks where topic = %(topic)s
) blocks
where from_position <> expected

-- name: ends
-- The journal ends where the partition stands.
select coalesce(p.partition, b.partition) as partition, coalesce(b.ended, 0) as from_position,
    coalesce(p.position, 0) as to_position, coalesce(p.position, 0) as expected, coalesce(b.ended, 0) as found
from (
    select partition, position from stream_positions where topic = %(topic)s and consumer = 'metering'
) p
full join (
    select partition, max(to_position) as ended from stream_blocks where topic = %(topic)s group by partition
) b on b.partition = p.partition
where coalesce(p.position, 0) <> coalesce(b.ended, 0)

-- name: rejected
-- Every rejected record is a dead letter.
select b.partition, b.from_position, b.to_position, b.rejected as expected, d.found
from stream_blocks b
cross join lateral (
    select count(*) as found from dead_letters d
    where d.topic = b.topic and d.partition = b.partition and d."offset" >= b.from_position
        and d."offset" < b.to_position and d.meter_id = '00000000-0000-0000-0000-000000000000'
) d
where b.topic = %(topic)s and b.rejected > 0 and d.found <> b.rejected

-- name: strays
-- And no other record is.
select d.partition, 0::bigint as from_position, coalesce(b.ended, 0) as to_position,
    coalesce(b.rejected, 0) as expected, d.found
from (
    select partition, count(*) as found from dead_letters
    where topic = %(topic)s and meter_id = '00000000-0000-0000-0000-000000000000'
    group by partition
) d
left join (
    select partition, sum(rejected)::bigint as rejected, max(to_position) as ended
    from stream_blocks where topic = %(topic)s group by partition
) b on b.partition = d.partition
where d.found > coalesce(b.rejected, 0)

-- name: load_gaps
-- Each warehouse load starts where the last one ended.
select partition, from_position, to_position, expected, from_position as found
from (
    select partition, from_position, to_position,
        lag(to_position) over (partition by partition order by from_position) as expected
    from warehouse_loads where topic = %(topic)s
) loads
where expected is not null and from_position <> expected

-- name: load_counts
-- What was loaded is what the journal counted, up to the end of the last done load. Not compared where folding has
-- joined blocks across that end.
select l.partition, l.first as from_position, l.ended as to_position, b.counted as expected, l.counted as found
from (
    select partition, min(from_position) as first, max(to_position) as ended, sum(counted)::bigint as counted
    from warehouse_loads where topic = %(topic)s and state = 'done' group by partition
) l
cross join lateral (
    select coalesce(sum(counted), 0)::bigint as counted, coalesce(max(to_position), 0) as ended from stream_blocks
    where topic = %(topic)s and partition = l.partition and from_position >= l.first and to_position <= l.ended
) b
where b.ended = l.ended and b.counted <> l.counted

-- name: last_commits
-- Age of the journal and of the loads, for "stalled".
select p.partition, p.position,
    (select max(committed_at) from stream_blocks b where b.topic = p.topic and b.partition = p.partition) as committed_at,
    (select max(to_position) from warehouse_loads l
        where l.topic = p.topic and l.partition = p.partition and l.state = 'done') as loaded_position,
    (select max(done_at) from warehouse_loads l where l.topic = p.topic and l.partition = p.partition) as loaded_at
from stream_positions p
where p.topic = %(topic)s and p.consumer = 'metering'
order by p.partition

-- name: recent_loads
-- What ClickHouse is compared with, newest first.
select id, topic, partition, from_position, to_position, counted from warehouse_loads
where topic = %(topic)s and state = 'done'
order by id desc
limit %(limit)s
