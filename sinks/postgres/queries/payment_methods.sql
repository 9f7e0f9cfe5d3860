-- name: list_newest
-- RLS keeps others' away.
select p.id::text, p.organization_id::text, p.customer_id::text, p.stripe_payment_method_id, p.kind, p.brand, p.last4,
    p.exp_month, p.exp_year, p.is_default, p.created_at, p.detached_at, c.stripe_customer_id
from payment_methods p
join customers c on c.id = p.customer_id
where (%(organization_id)s::uuid is null or p.organization_id = %(organization_id)s)
    and (%(customer_id)s::uuid is null or p.customer_id = %(customer_id)s)
    and p.detached_at is null
    and (%(since)s::timestamptz is null or p.created_at >= %(since)s)
    and (%(until)s::timestamptz is null or p.created_at < %(until)s)
    and (%(at)s::timestamptz is null
         or (p.created_at <= %(at)s and (p.created_at < %(at)s or p.id > %(after_id)s::uuid)))
order by p.created_at desc, p.id
limit %(limit)s

-- name: list_oldest
-- The same from the other end.
select p.id::text, p.organization_id::text, p.customer_id::text, p.stripe_payment_method_id, p.kind, p.brand, p.last4,
    p.exp_month, p.exp_year, p.is_default, p.created_at, p.detached_at, c.stripe_customer_id
from payment_methods p
join customers c on c.id = p.customer_id
where (%(organization_id)s::uuid is null or p.organization_id = %(organization_id)s)
    and (%(customer_id)s::uuid is null or p.customer_id = %(customer_id)s)
    and p.detached_at is null
    and (%(since)s::timestamptz is null or p.created_at >= %(since)s)
    and (%(until)s::timestamptz is null or p.created_at < %(until)s)
    and (%(at)s::timestamptz is null
         or (p.created_at >= %(at)s and (p.created_at > %(at)s or p.id < %(after_id)s::uuid)))
order by p.created_at, p.id desc
limit %(limit)s

-- name: find
select p.id::text, p.organization_id::text, p.customer_id::text, p.stripe_payment_method_id, p.kind, p.brand, p.last4,
    p.exp_month, p.exp_year, p.is_default, p.created_at, p.detached_at, c.stripe_customer_id
from payment_methods p
join customers c on c.id = p.customer_id
where p.id = %(id)s

-- name: find_by_stripe_id
select p.id::text, p.organization_id::text, p.customer_id::text, p.stripe_payment_method_id, p.kind, p.brand, p.last4,
    p.exp_month, p.exp_year, p.is_default, p.created_at, p.detached_at, c.stripe_customer_id
from payment_methods p
join customers c on c.id = p.customer_id
where p.stripe_payment_method_id = %(stripe_payment_method_id)s
