-- One organization with 20,000 of everything, made a minute apart; one invoice of a hundred is open. All ids can be told
-- from n.
insert into organizations (id, slug, name, effective_positions)
values (md5('organization 7')::uuid, 'org-7', 'Organization 7', '{}');
insert into pricing_plans (id, organization_id, slug, name, state, document, created_at)
select md5('plan ' || n)::uuid, md5('organization 7')::uuid, 'plan-' || n, 'Plan', 'active',
    '{"prices": [{"slug": "base", "interval": "month", "currencies": {"usd": {"amount": "1.00"}}}]}',
    now() - n * interval '1 minute'
from generate_series(0, 19999) n;
insert into customers (id, organization_id, user_id, stripe_customer_id, email, subjects, created_at)
select md5('customer ' || n)::uuid, md5('organization 7')::uuid, 'user-' || n, 'cus_' || n,
    n || '@example.com', array['subject-' || n], now() - n * interval '1 minute'
from generate_series(0, 19999) n;
insert into payment_methods (id, organization_id, customer_id, stripe_payment_method_id, kind, created_at)
select md5('method ' || n)::uuid, organization_id, id, 'pm_' || n, 'card', created_at
from generate_series(0, 19999) n join customers on id = md5('customer ' || n)::uuid;
insert into subscriptions (id, organization_id, customer_id, plan_id, stripe_subscription_id, status, currency,
    billing_cycle, quantity, current_period_start, current_period_end, stripe_object, created_at)
select md5('subscription ' || n)::uuid, organization_id, id, md5('plan ' || n)::uuid, 'sub_' || n,
    case n % 100 when 0 then 'past_due' else 'active' end, 'usd', 'month', 1, now(), now(),
    '{"items": {"data": [{"id": "si_1", "quantity": 1, "price": {"id": "price_1"}}]}}', created_at
from generate_series(0, 19999) n join customers on id = md5('customer ' || n)::uuid;
insert into invoices (id, organization_id, customer_id, subscription_id, stripe_invoice_id, status, currency,
    subtotal_minor, total_minor, amount_due_minor, amount_paid_minor, amount_remaining_minor, created_at)
select md5('invoice ' || n)::uuid, organization_id, customer_id, id, 'in_' || n,
    case n % 100 when 0 then 'open' else 'paid' end, 'usd', 1, 1, 1, 1, 0, created_at
from generate_series(0, 19999) n join subscriptions on id = md5('subscription ' || n)::uuid;
insert into discount_codes (id, organization_id, code, percent_off, duration, created_at)
select md5('code ' || n)::uuid, md5('organization 7')::uuid, 'CODE' || n, 10, 'once', now() - n * interval '1 minute'
from generate_series(0, 19999) n
