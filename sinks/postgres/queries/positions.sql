-- name: known_topic
-- The log that our positions belong to.
select topic_id, cluster_id, partitions from stream_topics where topic = %(topic)s

-- name: remember_topic
insert into stream_topics (topic, topic_id, cluster_id, partitions)
values (%(topic)s, %(topic_id)s, %(cluster_id)s, %(partitions)s)
on conflict (topic) do nothing

-- name: positions
-- Where a consumer stands; partitions it never moved are at 0 and absent.
select partition, position from stream_positions where consumer = %(consumer)s and topic = %(topic)s

-- name: begin_partition
insert into stream_positions (consumer, topic, partition, position)
values (%(consumer)s, %(topic)s, %(partition)s, 0)
on conflict do nothing
