-- Whose subscriptions and invoices these are: one account of Stripe's, live or test. Who meets it first notes it.
create table stripe_account (
    only_one boolean primary key default true check (only_one),
    account_id text not null,
    livemode boolean not null,
    noted_at timestamptz not null default now()
);
grant select, insert on stripe_account to meterstream_api, meterstream_worker;
