-- name: create
insert into invitations (organization_id, email, role, token_hash, invited_by, expires_at)
values (%(organization_id)s, %(email)s, %(role)s, %(token_hash)s, %(invited_by)s, now() + %(lifetime)s)
returning id::text, email, role, invited_by, created_at, expires_at, accepted_at, revoked_at

-- name: list
-- Newest first.
select id::text, email, role, invited_by, created_at, expires_at, accepted_at, revoked_at
from invitations
where organization_id = %(organization_id)s
    and (%(after_at)s::timestamptz is null or (created_at, id) < (%(after_at)s, %(after_id)s::uuid))
order by created_at desc, id desc
limit %(limit)s

-- name: revoke
-- A second time changes nothing; no row: there is none, or it was accepted.
update invitations i set revoked_at = coalesce(i.revoked_at, now())
from (
    select id, revoked_at from invitations
    where organization_id = %(organization_id)s and id = %(id)s and accepted_at is null
    for update
) before
where i.id = before.id
returning i.id::text, i.email, i.role, i.invited_by, i.created_at, i.expires_at, i.accepted_at, i.revoked_at,
    before.revoked_at is null as newly

-- name: find
-- By its secret, before whoever holds it is a member.
select id, organization_id, organization, email, role, expires_at, accepted_at, revoked_at
from find_invitation(%(token_hash)s)

-- name: accept
-- No row: it was accepted, was revoked, or expired in the meantime.
update invitations set accepted_at = now(), accepted_by = %(user_id)s
where organization_id = %(organization_id)s and id = %(id)s and accepted_at is null and revoked_at is null
    and expires_at > now()
returning id::text

-- name: revoke_of
-- Open ones that somebody made for certain roles, or that name an address.
update invitations set revoked_at = now()
where organization_id = %(organization_id)s and accepted_at is null and revoked_at is null and expires_at > now()
    and ((invited_by = %(invited_by)s and role = any(%(roles)s)) or lower(email) = lower(%(email)s::text))
returning id::text, email, role, invited_by, created_at, expires_at, accepted_at, revoked_at
