-- name: organization_named
-- Null: there is none. Whoever asks: plans are public, organizations are not.
select organization_named(%(slug)s)::text

-- name: create
-- No row: a draft or an active version of that slug exists.
insert into pricing_plans (organization_id, slug, version, name, state, document)
select %(organization_id)s, %(slug)s,
    coalesce((select max(version) from pricing_plans where organization_id = %(organization_id)s and slug = %(slug)s), 0) + 1,
    %(name)s, 'draft', %(document)s::json
where not exists (
    select from pricing_plans
    where organization_id = %(organization_id)s and slug = %(slug)s and state <> 'archived')
on conflict do nothing
returning id::text, organization_id::text, slug, version, name, state, document::text, stripe_product_id, stripe_prices,
    created_at, activated_at, archived_at

-- name: find
select id::text, organization_id::text, slug, version, name, state, document::text, stripe_product_id, stripe_prices,
    created_at, activated_at, archived_at
from pricing_plans
where id = %(id)s

-- name: find_by_slug
-- The version that is sold, else the newest.
select id::text, organization_id::text, slug, version, name, state, document::text, stripe_product_id, stripe_prices,
    created_at, activated_at, archived_at
from pricing_plans
where organization_id = %(organization_id)s and slug = %(slug)s
order by (state = 'active') desc, version desc
limit 1

-- name: list_by_slug
-- One price in that currency and interval is enough.
select id::text, organization_id::text, slug, version, name, state, document::text, stripe_product_id, stripe_prices,
    created_at, activated_at, archived_at
from pricing_plans
where organization_id = %(organization_id)s
    and state = any (%(states)s)
    and (%(slug)s::text is null or slug = %(slug)s)
    and (slug, version) > (%(after_slug)s, %(after_version)s)
    and exists (
        select from json_array_elements(document -> 'prices') price
        where (%(currency)s::text is null or price -> 'currencies' -> %(currency)s is not null)
            and (%(interval)s::text is null or price ->> 'interval' = %(interval)s))
order by slug, version
limit %(limit)s

-- name: list_newest
select id::text, organization_id::text, slug, version, name, state, document::text, stripe_product_id, stripe_prices,
    created_at, activated_at, archived_at
from pricing_plans
where organization_id = %(organization_id)s
    and state = any (%(states)s)
    and (%(slug)s::text is null or slug = %(slug)s)
    and (%(since)s::timestamptz is null or created_at >= %(since)s)
    and (%(until)s::timestamptz is null or created_at < %(until)s)
    and (%(at)s::timestamptz is null
         or (created_at <= %(at)s and (created_at < %(at)s or id > %(after_id)s::uuid)))
    and exists (
        select from json_array_elements(document -> 'prices') price
        where (%(currency)s::text is null or price -> 'currencies' -> %(currency)s is not null)
            and (%(interval)s::text is null or price ->> 'interval' = %(interval)s))
order by created_at desc, id
limit %(limit)s

-- name: list_oldest
-- The same from the other end.
select id::text, organization_id::text, slug, version, name, state, document::text, stripe_product_id, stripe_prices,
    created_at, activated_at, archived_at
from pricing_plans
where organization_id = %(organization_id)s
    and state = any (%(states)s)
    and (%(slug)s::text is null or slug = %(slug)s)
    and (%(since)s::timestamptz is null or created_at >= %(since)s)
    and (%(until)s::timestamptz is null or created_at < %(until)s)
    and (%(at)s::timestamptz is null
         or (created_at >= %(at)s and (created_at > %(at)s or id < %(after_id)s::uuid)))
    and exists (
        select from json_array_elements(document -> 'prices') price
        where (%(currency)s::text is null or price -> 'currencies' -> %(currency)s is not null)
            and (%(interval)s::text is null or price ->> 'interval' = %(interval)s))
order by created_at, id desc
limit %(limit)s

-- name: rewrite
-- A draft, or names of what is sold. No row: it is in another state by now.
update pricing_plans set name = %(name)s, document = %(document)s::json
where id = %(id)s and state = %(state)s
returning id::text, organization_id::text, slug, version, name, state, document::text, stripe_product_id, stripe_prices,
    created_at, activated_at, archived_at

-- name: activate
-- No row: it is no draft any more, or its document is another one than the one published.
update pricing_plans
set state = 'active', activated_at = now(), stripe_product_id = %(stripe_product_id)s, stripe_prices = %(stripe_prices)s
where id = %(id)s and state = 'draft' and document::text = %(document)s
returning id::text, organization_id::text, slug, version, name, state, document::text, stripe_product_id, stripe_prices,
    created_at, activated_at, archived_at

-- name: archive
-- No row: it is archived already.
update pricing_plans set state = 'archived', archived_at = now()
where id = %(id)s and state <> 'archived'
returning id::text, organization_id::text, slug, version, name, state, document::text, stripe_product_id, stripe_prices,
    created_at, activated_at, archived_at

-- name: succeed
-- The version after one that was archived in the same transaction.
insert into pricing_plans
    (organization_id, slug, version, name, state, document, stripe_product_id, stripe_prices, activated_at)
select organization_id, slug, version + 1, %(name)s, 'active', %(document)s::json, %(stripe_product_id)s,
    %(stripe_prices)s, now()
from pricing_plans
where id = %(id)s
on conflict do nothing
returning id::text, organization_id::text, slug, version, name, state, document::text, stripe_product_id, stripe_prices,
    created_at, activated_at, archived_at
