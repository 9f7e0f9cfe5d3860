-- name: create
insert into api_keys (organization_id, name, prefix, key_hash, scopes, created_by)
values (%(organization_id)s, %(name)s, %(prefix)s, %(key_hash)s, %(scopes)s, %(created_by)s)
returning id::text, organization_id::text, (select slug from organizations o where o.id = organization_id) as organization,
    name, prefix, scopes, created_at, revoked_at

-- name: find
-- Before anybody is known; the function finds only keys that work.
select id, organization_id, organization, name, prefix, scopes, created_at, revoked_at from find_api_key(%(key_hash)s)

-- name: list
-- Of one organization, or all.
select k.id::text, k.organization_id::text, o.slug as organization, k.name, k.prefix, k.scopes, k.created_at, k.revoked_at
from api_keys k
left join organizations o on o.id = k.organization_id
where %(organization)s::text is null or o.slug = %(organization)s
order by k.created_at, k.id

-- name: page
-- Of one organization, newest first.
select k.id::text, k.organization_id::text, o.slug as organization, k.name, k.prefix, k.scopes, k.created_at, k.revoked_at
from api_keys k
join organizations o on o.id = k.organization_id
where k.organization_id = %(organization_id)s
    and (%(after_at)s::timestamptz is null or (k.created_at, k.id) < (%(after_at)s, %(after_id)s::uuid))
order by k.created_at desc, k.id desc
limit %(limit)s

-- name: revoke
-- By id or by the prefix that is shown; a second time changes nothing.
update api_keys k set revoked_at = coalesce(k.revoked_at, now())
from (select id, revoked_at from api_keys where id::text = %(key)s or prefix = %(key)s for update) before
where k.id = before.id
returning k.id::text, k.organization_id::text,
    (select slug from organizations o where o.id = k.organization_id) as organization,
    k.name, k.prefix, k.scopes, k.created_at, k.revoked_at, before.revoked_at is null as newly

-- name: hold_organization
-- Of two who make a key at once, one waits and counts the other's.
select from organizations where id = %(organization_id)s for no key update

-- name: count_live
select count(*) from api_keys where organization_id = %(organization_id)s and revoked_at is null

-- name: live_of
-- What somebody made and still works, oldest first.
select k.id::text, k.organization_id::text, o.slug as organization, k.name, k.prefix, k.scopes, k.created_at, k.revoked_at
from api_keys k
join organizations o on o.id = k.organization_id
where k.organization_id = %(organization_id)s and k.created_by = %(created_by)s and k.revoked_at is null
order by k.created_at, k.id
