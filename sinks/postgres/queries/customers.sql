-- name: create
-- No row: the id is there already, or the user has a customer in this organization.
insert into customers
    (id, organization_id, user_id, stripe_customer_id, name, email, address, subjects, metadata)
values
    (%(id)s, %(organization_id)s, %(user_id)s, %(stripe_customer_id)s, %(name)s, %(email)s, %(address)s::jsonb,
     %(subjects)s, %(metadata)s::jsonb)
on conflict do nothing
returning id::text, organization_id::text, user_id, stripe_customer_id, name, email, address, tax_ids, currency,
    subjects, metadata, balance_minor, delinquent, version, created_at, updated_at, deleted_at

-- name: find
select id::text, organization_id::text, user_id, stripe_customer_id, name, email, address, tax_ids, currency,
    subjects, metadata, balance_minor, delinquent, version, created_at, updated_at, deleted_at
from customers
where id = %(id)s

-- name: of_user
-- Those in force, or all, of one organization or of all.
select id::text, organization_id::text, user_id, stripe_customer_id, name, email, address, tax_ids, currency,
    subjects, metadata, balance_minor, delinquent, version, created_at, updated_at, deleted_at
from customers
where user_id = %(user_id)s and (%(organization_id)s::uuid is null or organization_id = %(organization_id)s)
    and (%(deleted)s or deleted_at is null)
order by created_at desc, id

-- name: deleted_of_user
-- How many customers of a user were deleted: the next one is another.
select count(*) from customers
where user_id = %(user_id)s and organization_id = %(organization_id)s and deleted_at is not null

-- name: list_newest
select id::text, organization_id::text, user_id, stripe_customer_id, name, email, address, tax_ids, currency,
    subjects, metadata, balance_minor, delinquent, version, created_at, updated_at, deleted_at
from customers
where (%(organization_id)s::uuid is null or organization_id = %(organization_id)s)
    and (%(deleted)s or deleted_at is null)
    and (%(email)s::text is null or lower_email = lower(%(email)s))
    and (%(user_id)s::text is null or user_id = %(user_id)s)
    and (%(subject)s::text is null or subjects @> array[%(subject)s::text])
    and (%(since)s::timestamptz is null or created_at >= %(since)s)
    and (%(until)s::timestamptz is null or created_at < %(until)s)
    and (%(at)s::timestamptz is null
         or (created_at <= %(at)s and (created_at < %(at)s or id > %(after_id)s::uuid)))
order by created_at desc, id
limit %(limit)s

-- name: list_oldest
-- The same from the other end.
select id::text, organization_id::text, user_id, stripe_customer_id, name, email, address, tax_ids, currency,
    subjects, metadata, balance_minor, delinquent, version, created_at, updated_at, deleted_at
from customers
where (%(organization_id)s::uuid is null or organization_id = %(organization_id)s)
    and (%(deleted)s or deleted_at is null)
    and (%(email)s::text is null or lower_email = lower(%(email)s))
    and (%(user_id)s::text is null or user_id = %(user_id)s)
    and (%(subject)s::text is null or subjects @> array[%(subject)s::text])
    and (%(since)s::timestamptz is null or created_at >= %(since)s)
    and (%(until)s::timestamptz is null or created_at < %(until)s)
    and (%(at)s::timestamptz is null
         or (created_at >= %(at)s and (created_at > %(at)s or id < %(after_id)s::uuid)))
order by created_at, id desc
limit %(limit)s

-- name: change
-- What is ours, and of that only what is named: another request may change the rest at the same time. No row: deleted.
update customers
set user_id = case when 'user_id' = any(%(changed)s) then %(user_id)s::text else user_id end,
    subjects = case when 'subjects' = any(%(changed)s) then %(subjects)s::text[] else subjects end,
    metadata = case when 'metadata' = any(%(changed)s) then %(metadata)s::jsonb else metadata end,
    version = version + 1, updated_at = now()
where id = %(id)s and deleted_at is null
returning id::text, organization_id::text, user_id, stripe_customer_id, name, email, address, tax_ids, currency,
    subjects, metadata, balance_minor, delinquent, version, created_at, updated_at, deleted_at

-- name: delete
-- The row stays: what was billed names it.
update customers set deleted_at = coalesce(deleted_at, now()), version = version + 1, updated_at = now()
where id = %(id)s
returning id::text, organization_id::text, user_id, stripe_customer_id, name, email, address, tax_ids, currency,
    subjects, metadata, balance_minor, delinquent, version, created_at, updated_at, deleted_at

-- name: running_subscriptions
select stripe_subscription_id from subscriptions
where customer_id = %(customer_id)s and status not in ('canceled', 'incomplete_expired')

-- name: taken_subject
select subject from customer_subjects
where organization_id = %(organization_id)s and subject = any(%(subjects)s) and customer_id <> %(customer_id)s
limit 1

-- name: other_running_currency
select currency from subscriptions
where customer_id = %(customer_id)s and currency <> %(currency)s and status not in ('canceled', 'incomplete_expired')
limit 1
