-- name: listen
listen outbox

-- name: last_id
-- Where a stream begins that names no last event.
select coalesce(max(id), 0) from outbox where customer_id = %(customer_id)s

-- name: changes_after
-- In the order in which they committed: who writes one has locked the customer first.
select id, kind, payload::text as payload, created_at
from outbox
where customer_id = %(customer_id)s and id > %(after)s
order by id
limit %(limit)s
