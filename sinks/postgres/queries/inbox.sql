-- name: put_all
-- Returns the ids that are new. In the order of the ids, or two who put in the same events may wait for each other.
-- Bodies go as they are: escaped in an array's text they would cost more than the rest.
insert into stripe_inbox (event_id, type, created_at, livemode, object_id, stripe_customer_id, body)
select * from unnest(%(ids)s::text[], %(types)s::text[], %(created_at)s::timestamptz[], %(livemodes)s::boolean[],
    %(object_ids)s::text[], %(customer_ids)s::text[], %(bodies)b::bytea[])
order by 1
on conflict (event_id) do nothing
returning event_id

-- name: mark_produced
-- Produced once more only if nothing becomes of it: the log was lost, or a worker is far behind, which does no harm.
-- What was tried since, if that matters, keeps its own time. Locked in order, as everybody here does who changes several.
with locked as (
    select event_id from stripe_inbox
    where event_id = any(%(ids)s) and state = 'received' and (error is null or not %(untried)s)
    order by event_id for update
)
update stripe_inbox set produced_at = now(), try_at = now() + interval '15 minutes'
where event_id in (select event_id from locked)

-- name: take_due
-- Several relays share the work.
select event_id, type, created_at, livemode, object_id, stripe_customer_id, body from stripe_inbox
where state = 'received' and try_at <= now()
order by try_at limit %(limit)s
for update skip locked

-- name: find_oldest
-- Of those that nothing became of yet. What failed waits on purpose, until it is due again.
select received_at from stripe_inbox
where state = 'received' and (error is null or try_at <= now())
order by received_at limit 1

-- name: read_open
-- Of these events, what is still to be applied, how often it failed, and how often in a row a service was away.
select event_id, tries, outages from stripe_inbox where event_id = any(%(ids)s) and state = 'received'

-- name: settle
with locked as (
    select event_id from stripe_inbox where event_id = any(%(ids)s) and state = 'received' order by event_id for update
)
update stripe_inbox inbox set
    state = told.state,
    error = told.error,
    tries = inbox.tries + case when told.error is null or told.outage then 0 else 1 end,
    outages = case when told.outage then inbox.outages + 1 else 0 end,
    try_at = now() + make_interval(secs => told.delay_s),
    applied_at = case when told.state in ('applied', 'ignored') then now() end
from unnest(%(ids)s::text[], %(states)s::text[], %(errors)s::text[], %(delays)s::float8[], %(outages)s::boolean[])
    as told (event_id, state, error, delay_s, outage)
where inbox.event_id = told.event_id and inbox.event_id in (select event_id from locked)

-- name: hasten
-- What waits because a service was away is due now.
with waiting as (
    select event_id from stripe_inbox
    where state = 'received' and outages > 0 and try_at > now()
    order by try_at limit %(limit)s
    for update skip locked
)
update stripe_inbox set try_at = now(), outages = 0 where event_id in (select event_id from waiting)

-- name: known_ids
select event_id from stripe_inbox where event_id = any(%(ids)s)

-- name: list_events
select event_id, type, created_at, livemode, object_id, stripe_customer_id, state, tries, error, received_at,
    produced_at, applied_at
from stripe_inbox
where state = %(state)s
    and (%(received_at)s::timestamptz is null or (received_at, event_id) < (%(received_at)s, %(event_id)s))
order by received_at desc, event_id desc
limit %(limit)s

-- name: retry
update stripe_inbox set state = 'received', tries = 0, outages = 0, try_at = now(), error = null, applied_at = null
where event_id = %(event_id)s and state = 'parked'
returning event_id, type, created_at, livemode, object_id, stripe_customer_id, state, tries, error, received_at,
    produced_at, applied_at

-- name: find_state
select state from stripe_inbox where event_id = %(event_id)s

-- name: empty_old
-- Whoever tries an event again locks it; settled ones are nobody's.
update stripe_inbox set body = ''
where event_id in (
    select event_id from stripe_inbox
    where state in ('applied', 'ignored') and body <> '' and applied_at < now() - %(kept)s::interval
    order by applied_at limit %(limit)s
)
