-- Two rows' worth of everything for one organization: of a customer whose user is `user-<tag>`, and of another one.
-- %(tag)s tells the organizations apart, %(id)s is the organization's id.

insert into organizations (id, slug, name, effective_positions) values (%(id)s, %(tag)s, %(tag)s, '{}');
insert into users (id, email) values ('member-' || %(tag)s, 'm@example.com'), ('user-' || %(tag)s, 'u@example.com');
insert into memberships (organization_id, user_id, role) values (%(id)s, 'member-' || %(tag)s, 'owner');
insert into invitations (organization_id, email, role, token_hash, invited_by, expires_at)
values (%(id)s, 'x@example.com', 'admin', %(tag)s::bytea, 'test', now());
insert into audit_log (organization_id, actor, action, target_kind, target_id) values (%(id)s, 'test', 'a.b', 'a', '1');
insert into api_keys (organization_id, name, prefix, key_hash, scopes)
values (%(id)s, 'key', 'ms_', %(tag)s::bytea, '{read}');
insert into meters (organization_id, slug, name, event_type, aggregation, group_by, effective_positions)
values (%(id)s, 'm', 'm', 't', 'COUNT', '{"model": "$.model"}', '{}');
insert into dead_letters (topic, partition, "offset", organization_id, code, message, arrival_at, raw_bytes)
values (%(tag)s, 0, 0, %(id)s, 'C', 'm', now(), 0);
insert into dead_letter_decisions (topic, partition, "offset", meter_id, decision, decided_by)
values (%(tag)s, 0, 0, '00000000-0000-0000-0000-000000000000', 'discarded', 'test');
insert into idempotency_keys (owner, key_hash, request_hash, locked_until)
values ('organization:' || %(id)s, 'k', 'r', now()), ('user:user-' || %(tag)s, 'k', 'r', now());
insert into pricing_plans (organization_id, slug, version, name, state, document)
select %(id)s::uuid, 'p', version, name, state, '{"slug": "p", "name": "P", "prices": [{"slug": "p-month", "kind": "flat",
    "interval": "month", "currencies": {"usd": {"amount": "10.00"}}}]}'
from (values (1, 'sold', 'active'), (2, 'draft', 'draft')) versions (version, name, state);
insert into discount_codes (organization_id, code, percent_off, duration) values (%(id)s, 'CODE', 10, 'once');
insert into revenue_analytics (organization_id, day, currency, metric, amount_minor)
values (%(id)s, '2026-01-01', 'usd', 'mrr', 1);
insert into customers (organization_id, user_id, subjects)
values (%(id)s, 'user-' || %(tag)s, array['machine-' || %(tag)s]), (%(id)s, 'another-' || %(tag)s, '{}');
insert into payment_methods (organization_id, customer_id, stripe_payment_method_id, kind)
select organization_id, id, 'pm_' || id, 'card' from customers where organization_id = %(id)s;
insert into subscriptions (organization_id, customer_id, stripe_subscription_id, status, currency, billing_cycle,
    quantity, current_period_start, current_period_end, stripe_object)
select organization_id, id, 'sub_' || id, 'active', 'usd', 'month', 1, now(), now(), '{}'
from customers where organization_id = %(id)s;
insert into subscription_changes (organization_id, customer_id, subscription_id, kind, version, actor, effective_at, currency)
select organization_id, customer_id, id, 'created', 1, 'test', now(), 'usd'
from subscriptions where organization_id = %(id)s;
insert into usage_records (organization_id, customer_id, subscription_id, usage_type, quantity, period_start, period_end)
select organization_id, customer_id, id, 'm', 1, '2026-01-01', '2026-02-01'
from subscriptions where organization_id = %(id)s;
insert into invoices (organization_id, customer_id, stripe_invoice_id, status, currency, subtotal_minor, total_minor,
    amount_due_minor, amount_paid_minor, amount_remaining_minor, created_at)
select organization_id, id, 'in_' || id, 'open', 'usd', 1, 1, 1, 0, 1, now()
from customers where organization_id = %(id)s;
insert into invoice_lines (invoice_id, stripe_line_id, position, organization_id, customer_id, amount_minor,
    period_start, period_end)
select id, 'il_1', 0, organization_id, customer_id, 1, now(), now() from invoices where organization_id = %(id)s;
insert into enterprise_pricing (organization_id, customer_id, plan_id, terms, starts_at)
select c.organization_id, c.id, p.id, '{}', now()
from customers c join pricing_plans p using (organization_id)
where c.organization_id = %(id)s and p.version = 1;
insert into checkouts (organization_id, customer_id, plan_id, billing_cycle, currency, quantity)
select c.organization_id, c.id, p.id, 'month', 'usd', 1
from customers c join pricing_plans p using (organization_id)
where c.organization_id = %(id)s and p.version = 1;
insert into outbox (organization_id, customer_id, kind, payload)
select organization_id, id, 'k', '{}' from customers where organization_id = %(id)s;
