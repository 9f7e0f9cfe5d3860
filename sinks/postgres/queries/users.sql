-- name: see
-- Made when first seen; the address is the newest token's.
insert into users (id, email) values (%(id)s, %(email)s)
on conflict (id) do update set email = coalesce(excluded.email, users.email), seen_at = now()
