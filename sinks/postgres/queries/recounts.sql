-- What comparisons read: whole organizations at once, for checks and demos, not for request work.

-- name: totals_by_hour
-- Minutes joined to hours; LATEST is the value at the greatest place.
select m.slug, u.subject, date_trunc('hour', u.minute, 'UTC') as hour, sum(u.events)::bigint as events,
    sum(u.quantity) as total, min(u.quantity) as smallest, max(u.quantity) as largest,
    (array_agg(u.quantity order by u.latest_time_us desc, u.latest_offset desc))[1] as latest
from usage_minutes u
join meters m on m.id = u.meter_id
where u.organization_id = %(organization_id)s
group by m.slug, u.subject, hour

-- name: uniques_by_hour
select m.slug, s.subject, date_trunc('hour', v.minute, 'UTC') as hour, count(distinct v.value_hash) as uniques
from usage_values v
join usage_series s on s.id = v.series_id
join meters m on m.id = s.meter_id
where s.organization_id = %(organization_id)s
group by m.slug, s.subject, hour

-- name: dead_letter_codes
-- Dead letters of an organization or of nobody, of records from the given positions on (element 1 = partition 0).
select m.slug as meter, d.code, count(*) as dead_letters
from dead_letters d
left join meters m on m.id = d.meter_id
where d.topic = %(topic)s and d."offset" >= (%(positions)s::bigint[])[d.partition + 1]
    and (d.organization_id = %(organization_id)s or d.organization_id is null)
group by m.slug, d.code
