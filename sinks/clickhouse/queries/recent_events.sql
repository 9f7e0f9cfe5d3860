-- name: recent_events
-- A tenant's newest events of one type, for trying out a meter on them.
select partition, offset, event_id, body
from usage_events
where organization_id = {organization_id:UUID} and event_type = {event_type:String}
order by toDate(time) desc, time desc, partition desc, offset desc
limit {limit:UInt32}
