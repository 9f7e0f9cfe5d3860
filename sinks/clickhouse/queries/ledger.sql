-- name: stored_loads
-- Answered from the projection by_load: no row is read.
select load_id, partition, count() as rows, min(offset) as first_offset, max(offset) as last_offset
from usage_events
where topic = {topic:String} and load_id between {first_load:Int64} and {last_load:Int64}
group by topic, partition, load_id

-- name: last_offsets
-- The last event of each partition that is stored.
select partition, max(offset) from usage_events where topic = {topic:String} group by topic, partition
