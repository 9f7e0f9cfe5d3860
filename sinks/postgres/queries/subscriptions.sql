-- name: find
-- Stripe's object is long: of it only what pages show and a change needs to know.
select s.id::text, s.organization_id::text, s.customer_id::text, s.plan_id::text, p.slug plan_slug,
    p.version plan_version, p.name plan_name, s.stripe_subscription_id, s.status, s.currency, s.billing_cycle,
    s.quantity, s.current_period_start, s.current_period_end, s.trial_start, s.trial_end, s.cancel_at_period_end,
    s.cancel_at, s.canceled_at, s.ended_at, s.cancellation_reason, s.cancellation_comment, s.pause_behavior,
    s.pause_resumes_at, s.mrr_minor, s.stripe_object -> 'schedule' schedule,
    s.stripe_object -> 'metadata' ->> 'meterstream_request' request_mark,
    s.stripe_object ->> 'latest_invoice' latest_invoice, s.created_at, s.updated_at
from subscriptions s
left join pricing_plans p on p.id = s.plan_id
where s.id = %(id)s

-- name: find_all
-- The same in the order of the ids. A list of ids is planned anew each time, which costs more than to find one.
select s.id::text, s.organization_id::text, s.customer_id::text, s.plan_id::text, p.slug plan_slug,
    p.version plan_version, p.name plan_name, s.stripe_subscription_id, s.status, s.currency, s.billing_cycle,
    s.quantity, s.current_period_start, s.current_period_end, s.trial_start, s.trial_end, s.cancel_at_period_end,
    s.cancel_at, s.canceled_at, s.ended_at, s.cancellation_reason, s.cancellation_comment, s.pause_behavior,
    s.pause_resumes_at, s.mrr_minor, s.stripe_object -> 'schedule' schedule,
    s.stripe_object -> 'metadata' ->> 'meterstream_request' request_mark,
    s.stripe_object ->> 'latest_invoice' latest_invoice, s.created_at, s.updated_at
from subscriptions s
left join pricing_plans p on p.id = s.plan_id
where s.id = any(%(ids)s::uuid[])
order by array_position(%(ids)s::uuid[], s.id)

-- name: find_by_stripe_id
select id::text from subscriptions where stripe_subscription_id = %(stripe_id)s

-- name: items
-- As Stripe sent them; a metered one has no quantity.
select item ->> 'id' id, item -> 'price' ->> 'id' price, (item ->> 'quantity')::bigint quantity,
    item -> 'price' -> 'recurring' ->> 'usage_type' = 'licensed' licensed,
    item -> 'price' -> 'recurring' ->> 'interval' "interval",
    (item -> 'price' -> 'recurring' ->> 'interval_count')::int interval_count
from subscriptions s
cross join jsonb_array_elements(s.stripe_object -> 'items' -> 'data') item
where s.id = %(id)s

-- name: list_newest
-- Only the ids; `find` reads the rest.
select s.id::text
from subscriptions s
left join pricing_plans p on p.id = s.plan_id
where (%(organization_id)s::uuid is null or s.organization_id = %(organization_id)s)
    and (%(customers)s::uuid[] is null or s.customer_id = any(%(customers)s))
    and (%(status)s::text[] is null or s.status = any(%(status)s))
    and (%(plan_id)s::uuid is null or s.plan_id = %(plan_id)s)
    and (%(plan_slug)s::text is null or p.slug = %(plan_slug)s)
    and (%(since)s::timestamptz is null or s.created_at >= %(since)s)
    and (%(until)s::timestamptz is null or s.created_at < %(until)s)
    and (%(at)s::timestamptz is null
         or (s.created_at <= %(at)s and (s.created_at < %(at)s or s.id > %(after_id)s::uuid)))
order by s.created_at desc, s.id
limit %(limit)s

-- name: list_oldest
-- The same from the other end.
select s.id::text
from subscriptions s
left join pricing_plans p on p.id = s.plan_id
where (%(organization_id)s::uuid is null or s.organization_id = %(organization_id)s)
    and (%(customers)s::uuid[] is null or s.customer_id = any(%(customers)s))
    and (%(status)s::text[] is null or s.status = any(%(status)s))
    and (%(plan_id)s::uuid is null or s.plan_id = %(plan_id)s)
    and (%(plan_slug)s::text is null or p.slug = %(plan_slug)s)
    and (%(since)s::timestamptz is null or s.created_at >= %(since)s)
    and (%(until)s::timestamptz is null or s.created_at < %(until)s)
    and (%(at)s::timestamptz is null
         or (s.created_at >= %(at)s and (s.created_at > %(at)s or s.id < %(after_id)s::uuid)))
order by s.created_at, s.id desc
limit %(limit)s

-- name: plans_of_prices
-- Which plan versions Stripe's prices belong to, the newest first.
select id::text, slug, version, name, array(select value from jsonb_each_text(stripe_prices)) prices,
    (select coalesce(jsonb_object_agg(stripe_prices ->> (price ->> 'slug'),
                                      jsonb_build_array(price -> 'interval', coalesce(price -> 'interval_count', '1'))),
                     '{}')
     from json_array_elements(document -> 'prices') price
     where stripe_prices ? (price ->> 'slug')) intervals
from pricing_plans
where organization_id = %(organization_id)s
    and exists (select from jsonb_each_text(stripe_prices) sold where sold.value = any(%(prices)s))
order by version desc

-- name: had_product
-- Whether a customer, or a deleted one of the same user, ever subscribed to a product: a trial is for who did not. The
-- history tells also what was changed for another product since.
with buyers as (
    select %(customer_id)s::uuid id
    union
    select other.id
    from customers buyer
    join customers other on other.user_id = buyer.user_id and other.organization_id = buyer.organization_id
    where buyer.id = %(customer_id)s)
select exists (
    select from buyers
    join subscriptions s on s.customer_id = buyers.id
    join subscription_changes c on c.subscription_id = s.id
    cross join jsonb_array_elements(c."to" -> 'items') item
    join pricing_plans p on p.stripe_product_id = %(stripe_product_id)s
    join jsonb_each_text(p.stripe_prices) sold on sold.value = item ->> 'price'
    where s.status <> 'incomplete_expired'
        and s.stripe_object -> 'metadata' ->> 'meterstream_request' is distinct from %(except_mark)s)

-- name: changes_newest
-- As they were recorded: ids follow each other.
select id, kind, "from" "before", "to" "after", actor, reason, effective_at, recorded_at, mrr_delta_minor, currency
from subscription_changes
where subscription_id = %(subscription_id)s
    and (%(kinds)s::text[] is null or kind = any(%(kinds)s))
    and (%(since)s::timestamptz is null or recorded_at >= %(since)s)
    and (%(until)s::timestamptz is null or recorded_at < %(until)s)
    and (%(after_id)s::bigint is null or id < %(after_id)s)
order by id desc
limit %(limit)s

-- name: changes_oldest
-- The same from the other end.
select id, kind, "from" "before", "to" "after", actor, reason, effective_at, recorded_at, mrr_delta_minor, currency
from subscription_changes
where subscription_id = %(subscription_id)s
    and (%(kinds)s::text[] is null or kind = any(%(kinds)s))
    and (%(since)s::timestamptz is null or recorded_at >= %(since)s)
    and (%(until)s::timestamptz is null or recorded_at < %(until)s)
    and (%(after_id)s::bigint is null or id > %(after_id)s)
order by id
limit %(limit)s
