-- name: create
-- No row: the slug is taken.
insert into organizations (slug, name, effective_positions)
values (%(slug)s, %(name)s, %(positions)s::bigint[])
on conflict (slug) do nothing
returning id::text, slug, name, created_at, archived_at

-- name: find
select id::text, slug, name, created_at, archived_at from organizations where slug = %(slug)s

-- name: find_by_id
select id::text, slug, name, created_at, archived_at from organizations where id = %(id)s

-- name: archive
-- No row: it does not exist or is archived already.
update organizations set archived_positions = %(positions)s::bigint[], archived_at = now()
where slug = %(slug)s and archived_at is null
returning id::text, slug, name, created_at, archived_at
