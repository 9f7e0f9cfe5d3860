-- name: create
-- No row: the same request made it before.
insert into checkouts
    (id, organization_id, customer_id, plan_id, billing_cycle, currency, quantity, discount_code_id, stripe_session_id,
     url, expires_at)
values
    (%(id)s, %(organization_id)s, %(customer_id)s, %(plan_id)s, %(billing_cycle)s, %(currency)s, %(quantity)s,
     %(discount_code_id)s, %(stripe_session_id)s, %(url)s, %(expires_at)s)
on conflict do nothing

-- name: find
select c.id::text, c.organization_id::text, c.customer_id::text, c.plan_id::text, p.slug as plan, p.version as plan_version,
    c.billing_cycle, c.currency, c.quantity, c.discount_code_id::text, c.stripe_session_id, c.status, c.url,
    c.subscription_id::text, s.status as subscription_status, c.expires_at, c.created_at, c.completed_at
from checkouts c
join pricing_plans p on p.id = c.plan_id
left join subscriptions s on s.id = c.subscription_id
where c.id = %(id)s

-- name: subscription_of_product
-- What the customer has of a product already, at whatever version of a plan.
select s.id::text, s.status, p.slug
from subscriptions s
join pricing_plans p on p.id = s.plan_id
where s.customer_id = %(customer_id)s and p.stripe_product_id = %(stripe_product_id)s
    and s.status in ('trialing', 'active', 'past_due', 'unpaid', 'paused')
order by s.created_at desc
limit 1

-- name: open_sessions
-- Pages of the same product that the customer could still pay on.
select c.stripe_session_id
from checkouts c
join pricing_plans p on p.id = c.plan_id
where c.customer_id = %(customer_id)s and p.stripe_product_id = %(stripe_product_id)s and c.status = 'open'
    and c.id is distinct from %(id)s and c.expires_at > now() and c.stripe_session_id is not null
