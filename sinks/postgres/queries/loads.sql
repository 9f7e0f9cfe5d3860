-- name: lock_loads
-- Held by whoever loads a partition, for its session: another worker waits until that one is done, or dead.
select pg_try_advisory_lock(%(space)s, %(partition)s)

-- name: open_load
-- The one that was begun and not finished; it is repeated with the same bounds.
select id, from_position, to_position, counted from warehouse_loads
where topic = %(topic)s and partition = %(partition)s and state = 'open'

-- name: done_positions
-- Where the warehouse stands, by partition.
select partition, max(to_position) from warehouse_loads
where topic = %(topic)s and state = 'done' group by partition

-- name: intended_positions
-- How far ClickHouse may hold rows, by partition.
select partition, max(to_position) from warehouse_loads where topic = %(topic)s group by partition

-- name: begin_load
-- Whole blocks from where the warehouse stands, none beyond %(up_to)s, and at least one however large. No row: there is
-- none, or another worker was first.
insert into warehouse_loads (topic, partition, from_position, to_position, counted)
select %(topic)s, %(partition)s, min(from_position), max(to_position), sum(counted)
from (
    select from_position, to_position, counted,
        sum(records) over (order by from_position) - records as records_before,
        sum(records) over (order by from_position) as records_with
    from stream_blocks
    where topic = %(topic)s and partition = %(partition)s and to_position <= %(up_to)s
        and from_position >= coalesce(
            (select max(to_position) from warehouse_loads where topic = %(topic)s and partition = %(partition)s), 0)
    order by from_position
    limit %(max_blocks)s
) as blocks
where records_before = 0 or records_with <= %(max_records)s
having count(*) > 0
on conflict do nothing
returning id, from_position, to_position, counted

-- name: blocks
-- What a load is made of.
select from_position, to_position, records, counted, catalogue_version, counted_bits
from stream_blocks
where topic = %(topic)s and partition = %(partition)s
    and from_position >= %(from_position)s and to_position <= %(to_position)s
order by from_position

-- name: finish_load
update warehouse_loads set state = 'done', done_at = now() where id = %(id)s and state = 'open'

-- name: loads_since
-- How many loads of any partition were begun after this one: each may have used an insertion token or two a table.
select count(*) from warehouse_loads where id > %(id)s

-- name: done_loads
-- For the ledger, in the order of their ids.
select id, topic, partition, from_position, to_position, counted from warehouse_loads
where topic = %(topic)s and state = 'done' and id > %(after_id)s
order by id limit %(limit)s

-- name: listen
listen stream_blocks

-- name: may_load
-- Taken and given back at once: it only tells whether a rebuild asks the loaders to step back.
select case when pg_try_advisory_lock_shared(%(lock)s) then pg_advisory_unlock_shared(%(lock)s) else false end

-- name: ask_loaders_to_step_back
select pg_advisory_lock(%(lock)s)

-- name: loads_of_partition
-- All, in the log's order; the open one, if any, is the last.
select id, from_position, to_position, counted, state from warehouse_loads
where topic = %(topic)s and partition = %(partition)s and from_position >= %(from_position)s
order by from_position limit 1000

-- name: blocks_over
-- The journal's rows that a stretch touches; folded ones may reach beyond it.
select from_position, to_position, records, counted_bits, catalogue_version from stream_blocks
where topic = %(topic)s and partition = %(partition)s
    and to_position > %(from_position)s and from_position < %(to_position)s
order by from_position

-- name: number_loads_from
-- A restored Postgres would give the ids again under which ClickHouse remembers other loads.
select setval(pg_get_serial_sequence('warehouse_loads', 'id'), greatest(
    %(at_least)s, coalesce((select max(id) from warehouse_loads), 0), 1))
