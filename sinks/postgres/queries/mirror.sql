-- name: find_customer
select id::text, organization_id::text, version from customers where stripe_customer_id = %(stripe_id)s

-- name: find_payment_method
select id::text, organization_id::text, version from payment_methods where stripe_payment_method_id = %(stripe_id)s

-- name: find_subscription
select id::text, organization_id::text, version from subscriptions where stripe_subscription_id = %(stripe_id)s

-- name: find_invoice
select id::text, organization_id::text, version from invoices where stripe_invoice_id = %(stripe_id)s

-- name: find_checkout_session
select id::text, organization_id::text, version from checkouts where stripe_session_id = %(stripe_id)s

-- name: link_customer
-- Makes a customer at Stripe known by its metadata; no row: it is not ours, or is linked to another.
update customers set stripe_customer_id = %(stripe_customer_id)s, version = version + 1, updated_at = now()
where id = %(customer_id)s and organization_id = %(organization_id)s
    and (stripe_customer_id is null or stripe_customer_id = %(stripe_customer_id)s)
returning id

-- name: link_checkout
update checkouts set stripe_session_id = %(stripe_session_id)s, version = version + 1
where id = %(checkout_id)s and (stripe_session_id is null or stripe_session_id = %(stripe_session_id)s)
returning id

-- name: lock_customer
-- First in every change of what hangs from a customer: a customer's changes follow each other, and so do the ids of
-- their outbox rows. The holder of a lease that lives begins a subscription of theirs.
select id::text, organization_id::text, stripe_default_payment_method_id, changing_reason,
    case when changing_until > now() then changing_by end as holder
from customers
where stripe_customer_id = %(stripe_customer_id)s
for no key update

-- name: lock_customer_of_invoice
select 1 from customers where id = (select customer_id from invoices where stripe_invoice_id = %(stripe_id)s)
for no key update

-- name: apply_customer
-- No row: the version has moved.
update customers set
    name = case when %(deleted)s then name else %(name)s end,
    email = case when %(deleted)s then email else %(email)s end,
    address = case when %(deleted)s then address else %(address)s end,
    tax_ids = case when %(deleted)s then tax_ids else %(tax_ids)s end,
    currency = case when %(deleted)s then currency else %(currency)s end,
    balance_minor = case when %(deleted)s then balance_minor else %(balance_minor)s end,
    delinquent = case when %(deleted)s then delinquent else %(delinquent)s end,
    stripe_default_payment_method_id = %(default_payment_method)s,
    deleted_at = case when %(deleted)s then coalesce(deleted_at, now()) else deleted_at end,
    version = version + 1,
    updated_at = now()
where stripe_customer_id = %(stripe_customer_id)s and version = %(version)s
returning id::text, version

-- name: apply_default
update payment_methods
set is_default = stripe_payment_method_id is not distinct from %(default_payment_method)s, version = version + 1
where customer_id = %(customer_id)s
    and is_default <> (stripe_payment_method_id is not distinct from %(default_payment_method)s)

-- name: insert_payment_method
-- No row: another was faster.
insert into payment_methods (organization_id, customer_id, stripe_payment_method_id, kind, brand, last4, exp_month,
    exp_year, is_default, version)
values (%(organization_id)s, %(customer_id)s, %(stripe_payment_method_id)s, %(kind)s, %(brand)s, %(last4)s,
    %(exp_month)s, %(exp_year)s, %(is_default)s, 1)
on conflict (stripe_payment_method_id) do nothing
returning id::text, version

-- name: update_payment_method
update payment_methods set kind = %(kind)s, brand = %(brand)s, last4 = %(last4)s, exp_month = %(exp_month)s,
    exp_year = %(exp_year)s, is_default = %(is_default)s, version = version + 1
where stripe_payment_method_id = %(stripe_payment_method_id)s and version = %(version)s
returning id::text, version

-- name: detach_payment_method
update payment_methods
set detached_at = coalesce(detached_at, now()), is_default = false, version = version + 1
where stripe_payment_method_id = %(stripe_payment_method_id)s and version = %(version)s
returning id::text, version

-- name: held_subscription
-- The holder of a lease that lives changes it.
select id::text, version, plan_id::text, stripe_object::text, changing_reason,
    case when changing_until > now() then changing_by end as holder
from subscriptions
where stripe_subscription_id = %(stripe_subscription_id)s
for update

-- name: find_plan
-- The version that has most of the prices; among equals the one it was given, the one it has, then the newest.
select id::text from pricing_plans
cross join lateral (
    select count(*) from jsonb_each_text(stripe_prices) sold where sold.value = any(%(prices)s)
) as known (prices)
where organization_id = %(organization_id)s and stripe_product_id = any(%(products)s) and known.prices > 0
order by known.prices desc, id is not distinct from %(named)s::uuid desc, id is not distinct from %(held)s::uuid desc,
    version desc
limit 1

-- name: plan_version
select slug plan, version plan_version from pricing_plans where id = %(id)s

-- name: insert_subscription
insert into subscriptions (organization_id, customer_id, plan_id, stripe_subscription_id, stripe_schedule_id, status,
    currency, billing_cycle, quantity, current_period_start, current_period_end, trial_start, trial_end,
    cancel_at_period_end, cancel_at, canceled_at, ended_at, cancellation_reason, cancellation_comment, pause_behavior,
    pause_resumes_at, mrr_minor, stripe_object, version, created_at)
values (%(organization_id)s, %(customer_id)s, %(plan_id)s, %(stripe_subscription_id)s, %(stripe_schedule_id)s,
    %(status)s, %(currency)s, %(billing_cycle)s, %(quantity)s, %(current_period_start)s, %(current_period_end)s,
    %(trial_start)s, %(trial_end)s, %(cancel_at_period_end)s, %(cancel_at)s, %(canceled_at)s, %(ended_at)s,
    %(cancellation_reason)s, %(cancellation_comment)s, %(pause_behavior)s, %(pause_resumes_at)s, %(mrr_minor)s,
    %(stripe_object)s, 1, %(created_at)s)
returning id::text, version

-- name: update_subscription
update subscriptions set
    plan_id = %(plan_id)s, stripe_schedule_id = %(stripe_schedule_id)s, status = %(status)s, currency = %(currency)s,
    billing_cycle = %(billing_cycle)s, quantity = %(quantity)s, current_period_start = %(current_period_start)s,
    current_period_end = %(current_period_end)s, trial_start = %(trial_start)s, trial_end = %(trial_end)s,
    cancel_at_period_end = %(cancel_at_period_end)s, cancel_at = %(cancel_at)s, canceled_at = %(canceled_at)s,
    ended_at = %(ended_at)s, cancellation_reason = %(cancellation_reason)s,
    cancellation_comment = %(cancellation_comment)s, pause_behavior = %(pause_behavior)s,
    pause_resumes_at = %(pause_resumes_at)s, mrr_minor = %(mrr_minor)s, stripe_object = %(stripe_object)s,
    version = version + 1, updated_at = now()
where stripe_subscription_id = %(stripe_subscription_id)s
returning id::text, version

-- name: subscriptions_of_price
-- Those that live, the newest first.
select stripe_subscription_id from subscriptions
where jsonb_path_query_array(stripe_object, '$.items.data[*].price.id') ? %(price)s
    and status not in ('canceled', 'incomplete_expired')
order by created_at desc, id limit %(limit)s

-- name: insert_change
insert into subscription_changes (organization_id, customer_id, subscription_id, kind, version, "from", "to", actor,
    reason, effective_at, mrr_delta_minor, currency)
values (%(organization_id)s, %(customer_id)s, %(subscription_id)s, %(kind)s, %(version)s, %(before)s, %(after)s,
    %(actor)s, %(reason)s, %(effective_at)s, %(mrr_delta_minor)s, %(currency)s)

-- name: held_invoice
select id::text, version, deleted_at, stripe_invoice_id, subscription_id::text, number, status, billing_reason, currency,
    subtotal_minor, discount_minor, tax_minor, total_minor, amount_due_minor, amount_paid_minor, amount_remaining_minor,
    period_start, period_end, due_at, finalized_at, paid_at, attempt_count, next_payment_attempt, hosted_invoice_url,
    invoice_pdf_url, amount_refunded_minor, dispute_status, created_at
from invoices
where stripe_invoice_id = %(stripe_invoice_id)s
for update

-- name: held_lines
select stripe_line_id, position, description, amount_minor, discount_minor, quantity, proration, stripe_price_id,
    period_start, period_end
from invoice_lines where invoice_id = %(invoice_id)s order by position

-- name: insert_invoice
insert into invoices (organization_id, customer_id, subscription_id, stripe_invoice_id, number, status, billing_reason,
    currency, subtotal_minor, discount_minor, tax_minor, total_minor, amount_due_minor, amount_paid_minor,
    amount_remaining_minor, period_start, period_end, due_at, finalized_at, paid_at, attempt_count, next_payment_attempt,
    hosted_invoice_url, invoice_pdf_url, amount_refunded_minor, dispute_status, version, created_at)
values (%(organization_id)s, %(customer_id)s, %(subscription_id)s, %(stripe_invoice_id)s, %(number)s, %(status)s,
    %(billing_reason)s, %(currency)s, %(subtotal_minor)s, %(discount_minor)s, %(tax_minor)s, %(total_minor)s,
    %(amount_due_minor)s, %(amount_paid_minor)s, %(amount_remaining_minor)s, %(period_start)s, %(period_end)s,
    %(due_at)s, %(finalized_at)s, %(paid_at)s, %(attempt_count)s, %(next_payment_attempt)s, %(hosted_invoice_url)s,
    %(invoice_pdf_url)s, %(amount_refunded_minor)s, %(dispute_status)s, 1, %(created_at)s)
returning id::text, version

-- name: update_invoice
update invoices set
    subscription_id = %(subscription_id)s, number = %(number)s, status = %(status)s, billing_reason = %(billing_reason)s,
    currency = %(currency)s, subtotal_minor = %(subtotal_minor)s, discount_minor = %(discount_minor)s,
    tax_minor = %(tax_minor)s, total_minor = %(total_minor)s, amount_due_minor = %(amount_due_minor)s,
    amount_paid_minor = %(amount_paid_minor)s, amount_remaining_minor = %(amount_remaining_minor)s,
    period_start = %(period_start)s, period_end = %(period_end)s, due_at = %(due_at)s, finalized_at = %(finalized_at)s,
    paid_at = %(paid_at)s, attempt_count = %(attempt_count)s, next_payment_attempt = %(next_payment_attempt)s,
    hosted_invoice_url = %(hosted_invoice_url)s, invoice_pdf_url = %(invoice_pdf_url)s,
    amount_refunded_minor = %(amount_refunded_minor)s, dispute_status = %(dispute_status)s, created_at = %(created_at)s,
    version = version + 1, updated_at = now()
where stripe_invoice_id = %(stripe_invoice_id)s
returning id::text, version

-- name: delete_invoice
update invoices set deleted_at = coalesce(deleted_at, now()), version = version + 1, updated_at = now()
where stripe_invoice_id = %(stripe_id)s
returning id::text, customer_id::text, organization_id::text, version

-- name: delete_lines
delete from invoice_lines where invoice_id = %(invoice_id)s

-- name: insert_line
insert into invoice_lines (invoice_id, stripe_line_id, position, organization_id, customer_id, description, amount_minor,
    discount_minor, quantity, proration, stripe_price_id, period_start, period_end)
values (%(invoice_id)s, %(stripe_line_id)s, %(position)s, %(organization_id)s, %(customer_id)s, %(description)s,
    %(amount_minor)s, %(discount_minor)s, %(quantity)s, %(proration)s, %(stripe_price_id)s, %(period_start)s,
    %(period_end)s)

-- name: apply_checkout
update checkouts set
    status = %(status)s, url = %(url)s, expires_at = coalesce(%(expires_at)s, expires_at),
    subscription_id = coalesce(%(subscription_id)s, subscription_id),
    completed_at = case when %(status)s = 'complete' then coalesce(completed_at, now()) else completed_at end,
    version = version + 1
where stripe_session_id = %(stripe_session_id)s and version = %(version)s
returning id::text, version

-- name: insert_outbox
insert into outbox (organization_id, customer_id, kind, payload)
values (%(organization_id)s, %(customer_id)s, %(kind)s, %(payload)s)

-- name: apply_redemptions
update discount_codes set redemptions = greatest(redemptions, %(redemptions)s)
where stripe_promotion_code_id = %(stripe_id)s
returning id
