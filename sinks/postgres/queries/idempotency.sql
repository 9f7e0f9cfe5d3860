-- name: begin
-- No row: another request with this key was answered within 24 hours, or is at work. One that died at work is begun
-- again once its time is over.
insert into idempotency_keys as k (owner, key_hash, request_hash, locked_until)
values (app_owner(), %(key_hash)s, %(request_hash)s, now() + %(at_work)s)
on conflict (owner, key_hash) do update set request_hash = excluded.request_hash, status = null, answer = null,
    created_at = now(), locked_until = excluded.locked_until
where k.created_at < now() - %(kept)s
    or (k.status is null and k.locked_until < now() and k.request_hash = excluded.request_hash)
returning locked_until

-- name: find
select request_hash, status, answer from idempotency_keys where owner = app_owner() and key_hash = %(key_hash)s

-- name: keep
-- Only by the one that is at work: another may have begun it again.
update idempotency_keys set status = %(status)s, answer = %(answer)s
where owner = app_owner() and key_hash = %(key_hash)s and locked_until = %(locked_until)s and status is null

-- name: forget
delete from idempotency_keys
where owner = app_owner() and key_hash = %(key_hash)s and locked_until = %(locked_until)s and status is null

-- name: forget_old
delete from idempotency_keys where created_at < now() - %(kept)s
