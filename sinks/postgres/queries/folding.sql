-- name: may_fold
-- Not while a rebuild reads the journal: it holds this lock exclusively.
select pg_try_advisory_xact_lock_shared(%(lock)s)

-- name: hold_still
select pg_advisory_lock(%(lock)s)

-- name: old_blocks
-- Blocks of hours that have more than one, up to the last done warehouse load: loads are made of whole blocks.
select from_position, to_position, extract(epoch from arrival_hour)::bigint / 3600, rules_version, catalogue_version,
       records, counted, duplicates, rejected, forwarded, counted_bits, committed_at
from stream_blocks
where topic = %(topic)s and partition = %(partition)s
  and arrival_hour < 'epoch'::timestamptz + %(before_hour)s * interval '1 hour'
  and to_position <= (
      select max(to_position) from warehouse_loads
      where topic = %(topic)s and partition = %(partition)s and state = 'done'
  )
  and (
      records = 0  -- has no hour of its own, and goes with its neighbours
      or arrival_hour in (
          select arrival_hour from stream_blocks
          where topic = %(topic)s and partition = %(partition)s group by arrival_hour having count(*) > 1
      )
  )
order by from_position

-- name: blocks_of
select from_position, to_position, extract(epoch from arrival_hour)::bigint / 3600, rules_version, catalogue_version,
       records, counted, duplicates, rejected, forwarded, counted_bits, committed_at
from stream_blocks
where topic = %(topic)s and partition = %(partition)s
  and from_position >= %(from_position)s and to_position <= %(to_position)s
order by from_position

-- name: drop_blocks
delete from stream_blocks
where topic = %(topic)s and partition = %(partition)s
  and from_position >= %(from_position)s and to_position <= %(to_position)s

-- name: add_folded
insert into stream_blocks
    (topic, partition, from_position, to_position, records, counted, duplicates, rejected, forwarded, arrival_hour,
     rules_version, catalogue_version, counted_bits, committed_at)
values
    (%(topic)s, %(partition)s, %(from_position)s, %(to_position)s, %(records)s, %(counted)s, %(duplicates)s,
     %(rejected)s, %(forwarded)s, 'epoch'::timestamptz + %(arrival_hour)s * interval '1 hour',
     %(rules_version)s, %(catalogue_version)s, %(counted_bits)s, %(committed_at)s)
