-- name: bound_wait
-- Blocks hold their locks for milliseconds; a wait this long means something is stuck, and the caller may repeat.
set local lock_timeout = '10s'

-- name: lock_partitions
-- All partitions, in ascending order: no block commits until the change does, and two changes cannot deadlock.
select pg_advisory_xact_lock(%(space)s, p) from generate_series(0, %(partitions)s - 1) as p

-- name: positions
-- Where every partition stands, in order; one that was never moved stands at 0.
select array_agg(coalesce(position, 0) order by p)
from generate_series(0, %(partitions)s - 1) as p
left join stream_positions s on s.partition = p and s.topic = %(topic)s and s.consumer = 'metering'

-- name: raise_version
update catalogue_version set version = version + 1
