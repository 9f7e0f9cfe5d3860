-- name: find
-- As what a person may act in an organization in force.
select m.organization_id::text, o.slug as organization, m.role
from memberships m
join organizations o on o.id = m.organization_id
where m.user_id = %(user_id)s and o.slug = %(slug)s and o.archived_at is null

-- name: list
select m.user_id, u.email, m.role, m.created_at
from memberships m
join users u on u.id = m.user_id
where m.organization_id = %(organization_id)s and m.user_id > %(after)s
order by m.user_id
limit %(limit)s

-- name: lock
-- The member, and all owners with them, in one order: two owners who remove each other cannot both succeed.
select m.user_id, u.email, m.role, m.created_at
from memberships m
join users u on u.id = m.user_id
where m.organization_id = %(organization_id)s and (m.user_id = %(user_id)s or m.role = 'owner')
order by m.user_id
for update of m

-- name: add
-- No row: a member already.
insert into memberships (organization_id, user_id, role) values (%(organization_id)s, %(user_id)s, %(role)s)
on conflict do nothing
returning user_id

-- name: change_role
update memberships set role = %(role)s where organization_id = %(organization_id)s and user_id = %(user_id)s

-- name: remove
delete from memberships where organization_id = %(organization_id)s and user_id = %(user_id)s

-- name: owned
select exists (select from memberships where organization_id = %(organization_id)s and role = 'owner')

-- name: count_owned
-- How many organizations in force a person owns.
select count(*) from memberships m
join organizations o on o.id = m.organization_id
where m.user_id = %(user_id)s and m.role = 'owner' and o.archived_at is null

-- name: hold_role
-- The role that somebody has now, and keeps until the transaction ends.
select role from memberships where organization_id = %(organization_id)s and user_id = %(user_id)s for share
