-- name: list
-- Newest first. A null filter is none; tenants always pass their organization.
select d.topic, d.partition, d."offset" as position, d.meter_id::text, m.slug as meter, o.slug as organization,
    d.organization_id::text, d.code, d.message, d.event_id, d.arrival_at, d.raw_bytes,
    coalesce(c.decision, 'open') as state, c.reason, c.decided_by, c.decided_at
from dead_letters d
left join dead_letter_decisions c using (topic, partition, "offset", meter_id)
left join organizations o on o.id = d.organization_id
left join meters m on m.id = d.meter_id
where (%(organization_id)s::uuid is null or d.organization_id = %(organization_id)s)
    and (%(state)s::text is null or coalesce(c.decision, 'open') = %(state)s)
    and (%(code)s::text is null or d.code = %(code)s)
    and (%(after_at)s::timestamptz is null or d.arrival_at < %(after_at)s
        or (d.arrival_at = %(after_at)s and (d.topic, d.partition, d."offset", d.meter_id)
            > (%(after_topic)s, %(after_partition)s, %(after_offset)s, %(after_meter)s::uuid)))
order by d.arrival_at desc, d.topic, d.partition, d."offset", d.meter_id
limit %(limit)s

-- name: find
select d.topic, d.partition, d."offset" as position, d.meter_id::text, m.slug as meter, o.slug as organization,
    d.organization_id::text, d.code, d.message, d.event_id, d.arrival_at, d.raw_bytes,
    coalesce(c.decision, 'open') as state, c.reason, c.decided_by, c.decided_at
from dead_letters d
left join dead_letter_decisions c using (topic, partition, "offset", meter_id)
left join organizations o on o.id = d.organization_id
left join meters m on m.id = d.meter_id
where d.topic = %(topic)s and d.partition = %(partition)s and d."offset" = %(offset)s and d.meter_id = %(meter_id)s::uuid
    and (%(organization_id)s::uuid is null or d.organization_id = %(organization_id)s)

-- name: raw
select raw from dead_letters
where topic = %(topic)s and partition = %(partition)s and "offset" = %(offset)s and meter_id = %(meter_id)s::uuid

-- name: intend
-- The intent, before the record is produced. The same body again repeats it; no row: another decision stands.
insert into dead_letter_decisions as c (topic, partition, "offset", meter_id, decision, redriven_raw, decided_by)
values (%(topic)s, %(partition)s, %(offset)s, %(meter_id)s, 'redriving', %(raw)s, %(decided_by)s)
on conflict (topic, partition, "offset", meter_id) do update set decided_at = now()
where c.decision = 'redriving' and c.redriven_raw = excluded.redriven_raw
returning decision

-- name: settle
-- The record is in the log.
update dead_letter_decisions set decision = 'redriven', decided_at = now()
where topic = %(topic)s and partition = %(partition)s and "offset" = %(offset)s and meter_id = %(meter_id)s::uuid
    and decision = 'redriving'

-- name: discard
-- No row: another decision stands.
insert into dead_letter_decisions (topic, partition, "offset", meter_id, decision, reason, decided_by)
values (%(topic)s, %(partition)s, %(offset)s, %(meter_id)s, 'discarded', %(reason)s, %(decided_by)s)
on conflict do nothing
returning decision
