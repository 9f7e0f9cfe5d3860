-- name: try_lock
-- Of the session: one relay at a time, and a dead one lets go.
select pg_try_advisory_lock(7236002)

-- name: read_unsent
select id, organization_id::text, customer_id::text, kind, payload::text, created_at from outbox
where sent_at is null order by id limit %(limit)s

-- name: find_oldest
select created_at from outbox where sent_at is null order by id limit 1

-- name: mark_sent
update outbox set sent_at = now() where id = any(%(ids)s)

-- name: delete_old
delete from outbox
where id in (select id from outbox where sent_at < now() - %(kept)s::interval order by id limit %(limit)s)
