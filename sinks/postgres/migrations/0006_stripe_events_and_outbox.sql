-- Stripe's events on their way in, and our changes on their way out.

create table stripe_inbox (
    event_id text primary key check (char_length(event_id) between 1 and 255),
    type text not null,
    -- Stripe's `created`; its resolution is a second.
    created_at timestamptz not null,
    livemode boolean not null,
    -- The object it is about, and the customer that orders what belongs together.
    object_id text,
    stripe_customer_id text,
    body bytea not null,
    state text not null default 'received' check (state in ('received', 'applied', 'ignored', 'parked')),
    tries int not null default 0,
    error text,
    received_at timestamptz not null default now(),
    produced_at timestamptz,
    -- While it is only received: produced (again) from then on. First after the API had its chance to, then after a
    -- failure, and in the end because the log may have lost it.
    try_at timestamptz not null default now() + interval '5 seconds',
    applied_at timestamptz
);
-- Serves: the relay, which produces what is due.
create index stripe_inbox_due on stripe_inbox (try_at) where state = 'received';
create index stripe_inbox_by_state on stripe_inbox (state, received_at desc, event_id);

-- One relay reads it in order; readers ignore ids at or below the last they applied for a customer.
create table outbox (
    id bigint generated always as identity primary key,
    organization_id uuid not null,
    customer_id uuid not null,
    kind text not null,
    payload jsonb not null,
    created_at timestamptz not null default now(),
    sent_at timestamptz
);
create index outbox_unsent on outbox (id) where sent_at is null;
-- Serves: server-sent events of a customer.
create index outbox_by_customer on outbox (customer_id, id);

-- Whoever streams a customer's changes wakes when they commit.
create function tell_of_outbox() returns trigger language plpgsql as $$
begin
    perform pg_notify('outbox', new.customer_id::text);
    return null;
end
$$;
create trigger outbox_told after insert on outbox for each row execute function tell_of_outbox();

alter table outbox enable row level security;
alter table outbox force row level security;
create policy workers on outbox to meterstream_worker using (true) with check (true);
create policy tenant on outbox to meterstream_api using (organization_id = (select app_organization()));
create policy self on outbox for select to meterstream_api
    using (customer_id in (select id from customers where user_id = (select app_user())));
grant select, insert on outbox to meterstream_api;

-- No tenant's: the API puts an event in before anybody knows whose it is; operators read and retry.
grant select, insert, update on stripe_inbox to meterstream_api;

-- How far jobs that go through something bit by bit have come.
create table job_cursors (
    name text primary key,
    reached_at timestamptz not null
);
