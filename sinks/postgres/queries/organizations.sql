-- name: create
-- No row: the slug is taken.
insert into organizations (id, slug, name, effective_positions)
values (%(id)s, %(slug)s, %(name)s, %(positions)s::bigint[])
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

-- name: rename
update organizations set name = %(name)s where id = %(id)s
returning id::text, slug, name, created_at, archived_at

-- name: list_of_user
-- Those a person is a member of, with the role.
select o.id::text, o.slug, o.name, m.role, o.created_at
from memberships m
join organizations o on o.id = m.organization_id
where m.user_id = %(user_id)s and o.archived_at is null and o.slug > %(after)s
order by o.slug
limit %(limit)s
