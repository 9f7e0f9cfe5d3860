-- name: record
insert into audit_log (organization_id, actor, action, target_kind, target_id, before, after, address, request_id)
values (%(organization_id)s, %(actor)s, %(action)s, %(target_kind)s, %(target_id)s, %(before)s::jsonb, %(after)s::jsonb,
    %(address)s::inet, %(request_id)s)

-- name: list
-- Newest first. A null filter is none.
select id, at, actor, action, target_kind, target_id, before, after, host(address) as address, request_id
from audit_log
where organization_id = %(organization_id)s
    and (%(before_id)s::bigint is null or id < %(before_id)s)
    and (%(actor)s::text is null or actor = %(actor)s)
    and (%(action)s::text is null or action = %(action)s)
    and (%(target_id)s::text is null or target_id = %(target_id)s)
order by id desc
limit %(limit)s
