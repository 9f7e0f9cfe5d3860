-- name: list
-- Newest first; RLS keeps others' away.
select p.id::text, p.organization_id::text, p.customer_id::text, p.stripe_payment_method_id, p.kind, p.brand, p.last4,
    p.exp_month, p.exp_year, p.is_default, p.created_at, p.detached_at, c.stripe_customer_id
from payment_methods p
join customers c on c.id = p.customer_id
where (%(organization_id)s::uuid is null or p.organization_id = %(organization_id)s)
    and (%(customer_id)s::uuid is null or p.customer_id = %(customer_id)s)
    and p.detached_at is null
    and (%(before)s::timestamptz is null or p.created_at < %(before)s
         or (p.created_at = %(before)s and p.id > %(after_id)s::uuid))
order by p.created_at desc, p.id
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
