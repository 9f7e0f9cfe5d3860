-- What it takes to follow Stripe for long: to see that it is still asked, to forget, and to know what was paid back.

-- The API tells operators how long ago Stripe was asked for what it could not deliver.
grant select on job_cursors to meterstream_api;
alter table job_cursors enable row level security;
alter table job_cursors force row level security;
create policy workers on job_cursors to meterstream_worker using (true) with check (true);
create policy operators on job_cursors to meterstream_api using ((select app_operator()));

-- How often in a row an event could not be applied because a service was away: no fault of its own, so no try.
alter table stripe_inbox add column outages int not null default 0;

-- Serves: whose revenue changes when Stripe changes what a price costs.
create index subscriptions_by_price on subscriptions
    using gin (jsonb_path_query_array(stripe_object, '$.items.data[*].price.id'));

-- Serves: the nightly job, which empties the bodies of old events.
create index stripe_inbox_with_body on stripe_inbox (applied_at) where state in ('applied', 'ignored') and body <> '';
-- The same job deletes what was sent long ago, and nothing else goes.
grant delete on outbox to meterstream_worker;
create policy forgetting on outbox as restrictive for delete to meterstream_worker
    using (sent_at < now() - interval '29 days');

-- What was given back of an invoice that was paid, and how its last dispute stands, as Stripe calls it.
alter table invoices add column amount_refunded_minor bigint not null default 0, add column dispute_status text;
