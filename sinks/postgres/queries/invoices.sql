-- name: find
select i.id::text, i.organization_id::text, i.customer_id::text, i.subscription_id::text, s.stripe_subscription_id,
    i.stripe_invoice_id, i.number, i.status, i.billing_reason, i.currency, i.subtotal_minor, i.discount_minor,
    i.tax_minor, i.total_minor, i.amount_due_minor, i.amount_paid_minor, i.amount_remaining_minor, i.period_start,
    i.period_end, i.due_at, i.finalized_at, i.paid_at, i.attempt_count, i.next_payment_attempt, i.hosted_invoice_url,
    i.invoice_pdf_url, i.amount_refunded_minor, i.dispute_status, i.created_at, i.updated_at
from invoices i
left join subscriptions s on s.id = i.subscription_id
where i.id = %(id)s and i.deleted_at is null

-- name: list_newest
select i.id::text, i.organization_id::text, i.customer_id::text, i.subscription_id::text, s.stripe_subscription_id,
    i.stripe_invoice_id, i.number, i.status, i.billing_reason, i.currency, i.subtotal_minor, i.discount_minor,
    i.tax_minor, i.total_minor, i.amount_due_minor, i.amount_paid_minor, i.amount_remaining_minor, i.period_start,
    i.period_end, i.due_at, i.finalized_at, i.paid_at, i.attempt_count, i.next_payment_attempt, i.hosted_invoice_url,
    i.invoice_pdf_url, i.amount_refunded_minor, i.dispute_status, i.created_at, i.updated_at
from invoices i
left join subscriptions s on s.id = i.subscription_id
where i.deleted_at is null
    and (%(organization_id)s::uuid is null or i.organization_id = %(organization_id)s)
    and (%(customers)s::uuid[] is null or i.customer_id = any(%(customers)s))
    and (%(subscription_id)s::uuid is null or i.subscription_id = %(subscription_id)s)
    and (%(status)s::text[] is null or i.status = any(%(status)s))
    and (%(since)s::timestamptz is null or i.created_at >= %(since)s)
    and (%(until)s::timestamptz is null or i.created_at < %(until)s)
    and (%(at)s::timestamptz is null
         or (i.created_at <= %(at)s and (i.created_at < %(at)s or i.id > %(after_id)s::uuid)))
order by i.created_at desc, i.id
limit %(limit)s

-- name: list_oldest
-- The same from the other end.
select i.id::text, i.organization_id::text, i.customer_id::text, i.subscription_id::text, s.stripe_subscription_id,
    i.stripe_invoice_id, i.number, i.status, i.billing_reason, i.currency, i.subtotal_minor, i.discount_minor,
    i.tax_minor, i.total_minor, i.amount_due_minor, i.amount_paid_minor, i.amount_remaining_minor, i.period_start,
    i.period_end, i.due_at, i.finalized_at, i.paid_at, i.attempt_count, i.next_payment_attempt, i.hosted_invoice_url,
    i.invoice_pdf_url, i.amount_refunded_minor, i.dispute_status, i.created_at, i.updated_at
from invoices i
left join subscriptions s on s.id = i.subscription_id
where i.deleted_at is null
    and (%(organization_id)s::uuid is null or i.organization_id = %(organization_id)s)
    and (%(customers)s::uuid[] is null or i.customer_id = any(%(customers)s))
    and (%(subscription_id)s::uuid is null or i.subscription_id = %(subscription_id)s)
    and (%(status)s::text[] is null or i.status = any(%(status)s))
    and (%(since)s::timestamptz is null or i.created_at >= %(since)s)
    and (%(until)s::timestamptz is null or i.created_at < %(until)s)
    and (%(at)s::timestamptz is null
         or (i.created_at >= %(at)s and (i.created_at > %(at)s or i.id < %(after_id)s::uuid)))
order by i.created_at, i.id desc
limit %(limit)s

-- name: lines
-- In Stripe's order.
select stripe_line_id, position, description, amount_minor, discount_minor, quantity, proration, stripe_price_id,
    period_start, period_end
from invoice_lines
where invoice_id = %(invoice_id)s and position > %(after)s
order by position
limit %(limit)s
