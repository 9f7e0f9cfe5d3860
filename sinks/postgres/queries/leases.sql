-- name: take_subscription
-- No row: another request holds it. Postgres's clock decides.
update subscriptions set changing_by = %(holder)s, changing_reason = %(reason)s,
    changing_until = now() + make_interval(secs => %(seconds)s)
where id = %(id)s and (changing_until is null or changing_until < now())
returning id

-- name: give_back_subscription
-- No row: it lapsed, and may be another's by now.
update subscriptions set changing_by = null, changing_reason = null, changing_until = null
where id = %(id)s and changing_by = %(holder)s

-- name: take_customer
update customers set changing_by = %(holder)s, changing_reason = %(reason)s,
    changing_until = now() + make_interval(secs => %(seconds)s)
where id = %(id)s and (changing_until is null or changing_until < now())
returning id

-- name: give_back_customer
update customers set changing_by = null, changing_reason = null, changing_until = null
where id = %(id)s and changing_by = %(holder)s
