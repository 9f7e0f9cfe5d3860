-- name: create
-- No row: the same request made it before, or the code is in use.
insert into discount_codes
    (id, organization_id, code, name, percent_off, amounts_off, duration, duration_months, redeem_by, max_redemptions,
     plans, stripe_coupon_id, stripe_promotion_code_id)
values
    (%(id)s, %(organization_id)s, %(code)s, %(name)s, %(percent_off)s, %(amounts_off)s, %(duration)s,
     %(duration_months)s, %(redeem_by)s, %(max_redemptions)s, %(plans)s, %(stripe_coupon_id)s,
     %(stripe_promotion_code_id)s)
on conflict do nothing
returning id::text, organization_id::text, code, name, state, percent_off, amounts_off, duration, duration_months,
    redeem_by, max_redemptions, redemptions, plans, stripe_coupon_id, stripe_promotion_code_id, created_at, archived_at

-- name: find
select id::text, organization_id::text, code, name, state, percent_off, amounts_off, duration, duration_months,
    redeem_by, max_redemptions, redemptions, plans, stripe_coupon_id, stripe_promotion_code_id, created_at, archived_at
from discount_codes
where id = %(id)s

-- name: find_by_code
-- The one in force; capitals and small letters are the same.
select id::text, organization_id::text, code, name, state, percent_off, amounts_off, duration, duration_months,
    redeem_by, max_redemptions, redemptions, plans, stripe_coupon_id, stripe_promotion_code_id, created_at, archived_at
from discount_codes
where organization_id = %(organization_id)s and lower(code) = lower(%(code)s) and state = 'active'

-- name: list_newest
select id::text, organization_id::text, code, name, state, percent_off, amounts_off, duration, duration_months,
    redeem_by, max_redemptions, redemptions, plans, stripe_coupon_id, stripe_promotion_code_id, created_at, archived_at
from discount_codes
where organization_id = %(organization_id)s and state = any (%(states)s)
    and (%(code)s::text is null or lower(code) = lower(%(code)s))
    and (%(since)s::timestamptz is null or created_at >= %(since)s)
    and (%(until)s::timestamptz is null or created_at < %(until)s)
    and (%(at)s::timestamptz is null
         or (created_at <= %(at)s and (created_at < %(at)s or id > %(after_id)s::uuid)))
order by created_at desc, id
limit %(limit)s

-- name: list_oldest
-- The same from the other end.
select id::text, organization_id::text, code, name, state, percent_off, amounts_off, duration, duration_months,
    redeem_by, max_redemptions, redemptions, plans, stripe_coupon_id, stripe_promotion_code_id, created_at, archived_at
from discount_codes
where organization_id = %(organization_id)s and state = any (%(states)s)
    and (%(code)s::text is null or lower(code) = lower(%(code)s))
    and (%(since)s::timestamptz is null or created_at >= %(since)s)
    and (%(until)s::timestamptz is null or created_at < %(until)s)
    and (%(at)s::timestamptz is null
         or (created_at >= %(at)s and (created_at > %(at)s or id < %(after_id)s::uuid)))
order by created_at, id desc
limit %(limit)s

-- name: rename
update discount_codes set name = %(name)s
where id = %(id)s
returning id::text, organization_id::text, code, name, state, percent_off, amounts_off, duration, duration_months,
    redeem_by, max_redemptions, redemptions, plans, stripe_coupon_id, stripe_promotion_code_id, created_at, archived_at

-- name: archive
update discount_codes set state = 'archived', archived_at = coalesce(archived_at, now())
where id = %(id)s
returning id::text, organization_id::text, code, name, state, percent_off, amounts_off, duration, duration_months,
    redeem_by, max_redemptions, redemptions, plans, stripe_coupon_id, stripe_promotion_code_id, created_at, archived_at

-- name: count_redemptions
-- Stripe's count never falls.
update discount_codes set redemptions = %(redemptions)s
where id = %(id)s and redemptions < %(redemptions)s
