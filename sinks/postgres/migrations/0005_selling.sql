-- What is sold and to whom. Stripe decides what it knows; these rows follow it, each with the object as last applied.

create extension if not exists btree_gist;

-- One row a version. What subscribers of a version pay and get never changes.
create table pricing_plans (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null references organizations (id),
    slug text not null check (slug ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    version int not null default 1 check (version >= 1),
    name text not null check (char_length(name) between 1 and 250),
    state text not null default 'draft' check (state in ('draft', 'active', 'archived')),
    -- The plan as a document (billing/plan_document.py): prices by interval and currency, trial, features with limits.
    -- As text: the first currency of a price is its default.
    document json not null,
    stripe_product_id text,
    -- Price slug → Stripe price id.
    stripe_prices jsonb not null default '{}',
    created_at timestamptz not null default now(),
    activated_at timestamptz,
    archived_at timestamptz,
    unique (organization_id, slug, version)
);
-- At most one version is sold.
create unique index pricing_plans_sold on pricing_plans (organization_id, slug) where state = 'active';
-- Serves: which plan a Stripe price belongs to.
create index pricing_plans_by_product on pricing_plans (stripe_product_id);

create table customers (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null references organizations (id),
    -- The subject of the token of whom it belongs to; null: of a server's making.
    user_id text check (char_length(user_id) between 1 and 256),
    stripe_customer_id text unique,
    name text check (char_length(name) <= 500),
    email text check (char_length(email) <= 320),
    address jsonb,
    tax_ids jsonb not null default '[]',
    currency text check (currency ~ '^[a-z]{3}$'),
    -- Keys under which usage of theirs arrives.
    subjects text[] not null default '{}' check (cardinality(subjects) <= 100),
    metadata jsonb not null default '{}',
    balance_minor bigint not null default 0,
    delinquent boolean not null default false,
    -- At Stripe; `payment_methods.is_default` follows it.
    stripe_default_payment_method_id text,
    -- Raised by every change: who asked Stripe at one version may write only on it.
    version bigint not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index customers_by_user on customers (user_id, organization_id) where deleted_at is null;
-- Serves: row-level security, which asks for deleted ones, too, with every statement of an end user.
create index customers_of_user on customers (user_id) where user_id is not null;
create index customers_by_organization on customers (organization_id, created_at desc, id);
create index customers_by_subject on customers using gin (subjects);

create table payment_methods (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null references organizations (id),
    customer_id uuid not null references customers (id),
    stripe_payment_method_id text not null unique,
    kind text not null,
    brand text,
    last4 text check (last4 ~ '^[0-9]{4}$'),
    exp_month int check (exp_month between 1 and 12),
    exp_year int,
    is_default boolean not null default false,
    version bigint not null default 0,
    created_at timestamptz not null default now(),
    detached_at timestamptz
);
create index payment_methods_by_customer on payment_methods (customer_id, created_at desc);
create index payment_methods_by_organization on payment_methods (organization_id, created_at desc, id);

create table subscriptions (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null references organizations (id),
    customer_id uuid not null references customers (id),
    -- The plan version; null: of a price that no plan of ours knows.
    plan_id uuid references pricing_plans (id),
    stripe_subscription_id text not null unique,
    stripe_schedule_id text,
    status text not null check (status in ('trialing', 'active', 'past_due', 'paused', 'canceled', 'incomplete',
                                           'incomplete_expired', 'unpaid')),
    currency text not null check (currency ~ '^[a-z]{3}$'),
    billing_cycle text not null,
    quantity bigint not null check (quantity >= 0),
    current_period_start timestamptz not null,
    current_period_end timestamptz not null,
    trial_start timestamptz,
    trial_end timestamptz,
    cancel_at_period_end boolean not null default false,
    cancel_at timestamptz,
    canceled_at timestamptz,
    ended_at timestamptz,
    cancellation_reason text,
    cancellation_comment text check (char_length(cancellation_comment) <= 5000),
    pause_behavior text,
    pause_resumes_at timestamptz,
    -- Of licensed prices, a month, after no discount.
    mrr_minor bigint not null default 0,
    -- Items, pending change and what else pages show, as Stripe sent it.
    stripe_object jsonb not null,
    version bigint not null default 0,
    -- A request that changes it at Stripe holds it until then; others get 409.
    changing_by text,
    changing_until timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    check (current_period_end >= current_period_start)
);
create index subscriptions_by_status on subscriptions (organization_id, status, created_at desc, id);
create index subscriptions_by_organization on subscriptions (organization_id, created_at desc, id);
create index subscriptions_by_customer on subscriptions (customer_id, created_at desc);
create index subscriptions_by_plan on subscriptions (plan_id);

-- The difference of two applied states; never changed.
create table subscription_changes (
    id bigint generated always as identity primary key,
    organization_id uuid not null references organizations (id),
    customer_id uuid not null references customers (id),
    subscription_id uuid not null references subscriptions (id),
    kind text not null,
    -- Of the subscription, after this change.
    version bigint not null,
    "from" jsonb,
    "to" jsonb,
    actor text not null,
    reason text,
    effective_at timestamptz not null,
    recorded_at timestamptz not null default now(),
    mrr_delta_minor bigint not null default 0,
    currency text not null
);
create index subscription_changes_by_subscription on subscription_changes (subscription_id, id desc);

create table invoices (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null references organizations (id),
    customer_id uuid not null references customers (id),
    subscription_id uuid references subscriptions (id),
    stripe_invoice_id text not null unique,
    number text,
    status text not null check (status in ('draft', 'open', 'paid', 'uncollectible', 'void')),
    billing_reason text,
    currency text not null check (currency ~ '^[a-z]{3}$'),
    subtotal_minor bigint not null,
    discount_minor bigint not null default 0,
    tax_minor bigint not null default 0,
    total_minor bigint not null,
    amount_due_minor bigint not null,
    amount_paid_minor bigint not null,
    amount_remaining_minor bigint not null,
    period_start timestamptz,
    period_end timestamptz,
    due_at timestamptz,
    finalized_at timestamptz,
    paid_at timestamptz,
    attempt_count int not null default 0,
    next_payment_attempt timestamptz,
    hosted_invoice_url text,
    invoice_pdf_url text,
    version bigint not null default 0,
    created_at timestamptz not null,
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create index invoices_by_customer on invoices (customer_id, created_at desc, id);
create index invoices_by_organization on invoices (organization_id, created_at desc, id);
create index invoices_by_subscription on invoices (subscription_id, created_at desc);

create table invoice_lines (
    invoice_id uuid not null references invoices (id),
    stripe_line_id text not null,
    position int not null,
    organization_id uuid not null references organizations (id),
    customer_id uuid not null references customers (id),
    description text,
    amount_minor bigint not null,
    discount_minor bigint not null default 0,
    quantity numeric,
    proration boolean not null default false,
    stripe_price_id text,
    period_start timestamptz not null,
    period_end timestamptz not null,
    primary key (invoice_id, stripe_line_id)
);

-- Usage of a period by meter; filled by the worker that counts.
create table usage_records (
    id bigint generated always as identity primary key,
    organization_id uuid not null references organizations (id),
    customer_id uuid not null references customers (id),
    subscription_id uuid not null references subscriptions (id),
    usage_type text not null,
    quantity numeric not null,
    period_start timestamptz not null,
    period_end timestamptz not null,
    version bigint not null default 0,
    check (period_end > period_start),
    unique (subscription_id, usage_type, period_start),
    -- Periods of one meter of one subscription follow each other.
    exclude using gist (subscription_id with =, usage_type with =, tstzrange(period_start, period_end) with &&)
);
create index usage_records_by_period on usage_records (organization_id, period_start, period_end);

create table discount_codes (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null references organizations (id),
    code text not null check (code ~ '^[A-Za-z0-9_-]{1,64}$'),
    name text not null default '',
    state text not null default 'active' check (state in ('active', 'archived')),
    percent_off numeric check (percent_off > 0 and percent_off <= 100),
    -- Currency → minor units.
    amounts_off jsonb,
    duration text not null check (duration in ('once', 'repeating', 'forever')),
    duration_months int check (duration_months between 1 and 36),
    redeem_by timestamptz,
    max_redemptions int check (max_redemptions >= 1),
    redemptions int not null default 0,
    -- Plan slugs it is for; empty: all.
    plans text[] not null default '{}',
    stripe_coupon_id text,
    stripe_promotion_code_id text,
    created_at timestamptz not null default now(),
    archived_at timestamptz,
    check ((percent_off is null) <> (amounts_off is null)),
    check ((duration = 'repeating') = (duration_months is not null))
);
-- Codes are the same in capitals and small letters, as at Stripe; an archived one may come back.
create unique index discount_codes_by_code on discount_codes (organization_id, lower(code)) where state = 'active';

create table enterprise_pricing (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null references organizations (id),
    customer_id uuid not null references customers (id),
    plan_id uuid not null references pricing_plans (id),
    -- Terms that differ from the plan's, as a plan document's fields.
    terms jsonb not null,
    starts_at timestamptz not null,
    ends_at timestamptz,
    created_at timestamptz not null default now(),
    check (ends_at > starts_at),
    exclude using gist (customer_id with =, plan_id with =, tstzrange(starts_at, ends_at) with &&)
);

create table revenue_analytics (
    organization_id uuid not null references organizations (id),
    day date not null,
    currency text not null check (currency ~ '^[a-z]{3}$'),
    metric text not null,
    amount_minor bigint not null,
    primary key (organization_id, day, currency, metric)
);

-- What a user was sent to Stripe's page for.
create table checkouts (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null references organizations (id),
    customer_id uuid not null references customers (id),
    plan_id uuid not null references pricing_plans (id),
    billing_cycle text not null,
    currency text not null check (currency ~ '^[a-z]{3}$'),
    quantity bigint not null check (quantity >= 1),
    discount_code_id uuid references discount_codes (id),
    stripe_session_id text unique,
    status text not null default 'open' check (status in ('open', 'complete', 'expired')),
    url text,
    subscription_id uuid references subscriptions (id),
    expires_at timestamptz,
    version bigint not null default 0,
    created_at timestamptz not null default now(),
    completed_at timestamptz
);
create index checkouts_by_customer on checkouts (customer_id, created_at desc);

do $$
declare
    name text;
begin
    foreach name in array array['pricing_plans', 'customers', 'payment_methods', 'subscriptions', 'subscription_changes',
                                'invoices', 'invoice_lines', 'usage_records', 'discount_codes', 'enterprise_pricing',
                                'revenue_analytics', 'checkouts'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format('create policy workers on %I to meterstream_worker using (true) with check (true)', name);
        execute format('create policy tenant on %I to meterstream_api using (organization_id = (select app_organization()))', name);
        execute format('grant select on %I to meterstream_api', name);
    end loop;
    -- What hangs from a customer is seen by whom the customer belongs to. Only an organization's hand writes.
    foreach name in array array['payment_methods', 'subscriptions', 'subscription_changes', 'invoices', 'invoice_lines',
                                'usage_records', 'checkouts'] loop
        execute format('create policy self on %I for select to meterstream_api using ('
                       'customer_id in (select id from customers where user_id = (select app_user())))', name);
    end loop;
end
$$;
create policy self on customers for select to meterstream_api using (user_id = (select app_user()));
-- What is or was sold is for everybody to see: subscribers of an archived version, too.
create policy sold on pricing_plans for select to meterstream_api using (state <> 'draft');
-- Its plans are public where an organization itself is not.
create function organization_named(slug text) returns uuid
language sql stable security definer set search_path = public, pg_temp as $$
    select o.id from organizations o where o.slug = organization_named.slug and o.archived_at is null
$$;
revoke execute on function organization_named(text) from public;
grant execute on function organization_named(text) to meterstream_api, meterstream_worker;

grant insert, update on pricing_plans, customers, payment_methods, subscriptions, invoices, discount_codes, checkouts
    to meterstream_api;
grant insert on subscription_changes to meterstream_api;
grant insert, update, delete on invoice_lines to meterstream_api;
