-- name: version
select version from catalogue_version

-- name: organizations
-- All, archived ones too: a replay needs them.
select id::text, slug, effective_positions, coalesce(archived_positions, '{}') from organizations order by id

-- name: meters
-- JSON as text: numbers must not pass through a float.
select id::text, organization_id::text, slug, event_type, aggregation, value_property, group_by::text, filters::text,
       effective_positions, coalesce(archived_positions, '{}')
from meters order by id
