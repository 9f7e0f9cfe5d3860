-- name: create
-- No row: the slug is or was in use in this organization.
insert into meters
    (organization_id, slug, name, description, event_type, aggregation, value_property, group_by, filters,
     effective_positions)
values
    (%(organization_id)s, %(slug)s, %(name)s, %(description)s, %(event_type)s, %(aggregation)s, %(value_property)s,
     %(group_by)s::jsonb, %(filters)s::jsonb, %(positions)s::bigint[])
on conflict (organization_id, slug) do nothing
returning id::text, slug, name, description, event_type, aggregation, value_property, group_by::text, filters::text,
    effective_at, archived_at

-- name: list
select id::text, slug, name, description, event_type, aggregation, value_property, group_by::text, filters::text,
    effective_at, archived_at
from meters
where organization_id = %(organization_id)s and slug > %(after)s and (%(archived)s or archived_at is null)
order by slug
limit %(limit)s

-- name: find
select id::text, slug, name, description, event_type, aggregation, value_property, group_by::text, filters::text,
    effective_at, archived_at
from meters
where organization_id = %(organization_id)s and slug = %(slug)s

-- name: rename
update meters set name = coalesce(%(name)s, name), description = coalesce(%(description)s, description)
where organization_id = %(organization_id)s and slug = %(slug)s
returning id::text, slug, name, description, event_type, aggregation, value_property, group_by::text, filters::text,
    effective_at, archived_at

-- name: archive
-- No row: there is none, or it is archived already.
update meters set archived_positions = %(positions)s::bigint[], archived_at = now()
where organization_id = %(organization_id)s and slug = %(slug)s and archived_at is null
returning id::text, slug, name, description, event_type, aggregation, value_property, group_by::text, filters::text,
    effective_at, archived_at
