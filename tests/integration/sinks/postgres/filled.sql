-- 2,000 organizations with ten of everything each. Row n belongs to organization n % 2000; all ids can be told from n.
insert into organizations (id, slug, name, effective_positions)
select md5('organization ' || n)::uuid, 'org-' || n, 'Organization ' || n, '{}' from generate_series(0, 1999) n;
insert into users (id) select 'user-' || n from generate_series(0, 19999) n;
insert into memberships (organization_id, user_id, role)
select md5('organization ' || n % 2000)::uuid, 'user-' || n, 'owner' from generate_series(0, 19999) n;
insert into invitations (organization_id, email, role, token_hash, invited_by, expires_at)
select md5('organization ' || n % 2000)::uuid, n || '@example.com', 'admin', sha256(n::text::bytea), 'test', now()
from generate_series(0, 19999) n;
insert into audit_log (organization_id, actor, action, target_kind, target_id)
select md5('organization ' || n % 2000)::uuid, 'test', 'test', 'test', n::text from generate_series(0, 19999) n;
insert into api_keys (organization_id, name, prefix, key_hash, scopes)
select md5('organization ' || n % 2000)::uuid, 'test', 'ms_' || n, sha256(n::text::bytea), '{read}'
from generate_series(0, 19999) n;
insert into idempotency_keys (owner, key_hash, request_hash, locked_until)
select 'organization:' || md5('organization ' || n % 2000)::uuid, sha256(n::text::bytea), '', now()
from generate_series(0, 19999) n;
insert into pricing_plans (id, organization_id, slug, name, state, document, stripe_product_id, stripe_prices)
select md5('plan ' || n)::uuid, md5('organization ' || n % 2000)::uuid, 'plan-' || n / 2000, 'Plan',
    (array['active', 'draft', 'archived'])[1 + n / 2000 % 3],
    '{"prices": [{"slug": "base", "interval": "month", "currencies": {"usd": {"amount": "1.00"}}}]}', 'prod_' || n,
    jsonb_build_object('base', 'price_' || n)
from generate_series(0, 19999) n;
insert into customers (id, organization_id, user_id, stripe_customer_id, email, subjects, created_at)
select md5('customer ' || n)::uuid, md5('organization ' || n % 2000)::uuid, 'user-' || n, 'cus_' || n,
    n || '@example.com', array['subject-' || n], now() - n * interval '1 minute'
from generate_series(0, 19999) n;
insert into payment_methods (id, organization_id, customer_id, stripe_payment_method_id, kind)
select md5('method ' || n)::uuid, organization_id, id, 'pm_' || n, 'card'
from generate_series(0, 19999) n join customers on id = md5('customer ' || n)::uuid;
insert into subscriptions (id, organization_id, customer_id, plan_id, stripe_subscription_id, status, currency,
    billing_cycle, quantity, current_period_start, current_period_end, stripe_object, created_at)
select md5('subscription ' || n)::uuid, organization_id, id, md5('plan ' || n)::uuid, 'sub_' || n,
    (array['active', 'canceled', 'past_due'])[1 + n / 2000 % 3], 'usd', 'month', 1, now(), now(),
    '{"items": {"data": [{"id": "si_1", "quantity": 1, "price": {"id": "price_1"}}]}}', now() - n * interval '1 minute'
from generate_series(0, 19999) n join customers on id = md5('customer ' || n)::uuid;
insert into subscription_changes (organization_id, customer_id, subscription_id, kind, version, actor, effective_at, currency)
select organization_id, customer_id, id, 'created', 1, 'test', now(), 'usd' from subscriptions;
insert into usage_records (organization_id, customer_id, subscription_id, usage_type, quantity, period_start, period_end)
select organization_id, customer_id, id, 'tokens', 1, created_at, created_at + interval '1 day' from subscriptions;
insert into invoices (id, organization_id, customer_id, subscription_id, stripe_invoice_id, status, currency,
    subtotal_minor, total_minor, amount_due_minor, amount_paid_minor, amount_remaining_minor, created_at)
select md5('invoice ' || n)::uuid, organization_id, customer_id, id, 'in_' || n, 'paid', 'usd', 1, 1, 1, 1, 0, created_at
from generate_series(0, 19999) n join subscriptions on id = md5('subscription ' || n)::uuid;
insert into invoice_lines (invoice_id, stripe_line_id, position, organization_id, customer_id, amount_minor,
    period_start, period_end)
select id, 'il_' || line, line, organization_id, customer_id, 1, now(), now()
from invoices, generate_series(1, 2) line;
insert into discount_codes (id, organization_id, code, percent_off, duration)
select md5('code ' || n)::uuid, md5('organization ' || n % 2000)::uuid, 'CODE' || n, 10, 'once'
from generate_series(0, 19999) n;
insert into checkouts (id, organization_id, customer_id, plan_id, billing_cycle, currency, quantity, stripe_session_id,
    subscription_id)
select md5('checkout ' || n)::uuid, organization_id, customer_id, plan_id, 'month', 'usd', 1, 'cs_' || n, id
from generate_series(0, 19999) n join subscriptions on id = md5('subscription ' || n)::uuid;
insert into outbox (organization_id, customer_id, kind, payload, sent_at)
select organization_id, id, 'subscription.updated', '{}', case when created_at < now() - interval '10 minutes' then now() end
from customers;
insert into stripe_inbox (event_id, type, created_at, livemode, body, state, received_at)
select 'evt_' || n, 'invoice.paid', now(), false, '',
    case n % 1000 when 0 then 'parked' when 1 then 'received' else 'applied' end, now() - n * interval '1 second'
from generate_series(0, 19999) n
