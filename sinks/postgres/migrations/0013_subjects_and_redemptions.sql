-- Usage that arrives under a subject is one customer's. The table follows `customers.subjects`; who is deleted gives
-- their subjects back.
create table customer_subjects (
    organization_id uuid not null references organizations (id),
    subject text not null,
    customer_id uuid not null,
    primary key (organization_id, subject),
    foreign key (customer_id, organization_id) references customers (id, organization_id)
);
-- Serves: a customer's subjects become others.
create index customer_subjects_by_customer on customer_subjects (customer_id);
alter table customer_subjects enable row level security;
alter table customer_subjects force row level security;
create policy workers on customer_subjects to meterstream_worker using (true) with check (true);
create policy tenant on customer_subjects to meterstream_api
    using (organization_id = (select app_organization()));
-- Workers follow deletions at Stripe.
grant select, insert, delete on customer_subjects to meterstream_api, meterstream_worker;

create function keep_customer_subjects() returns trigger language plpgsql as $$
declare
    taken text;
begin
    delete from customer_subjects where customer_id = new.id;
    if new.deleted_at is not null then
        return null;
    end if;
    insert into customer_subjects (organization_id, subject, customer_id)
    select distinct new.organization_id, each, new.id from unnest(new.subjects) each
    on conflict do nothing;
    select min(subject) into taken from customer_subjects
    where organization_id = new.organization_id and subject = any(new.subjects) and customer_id <> new.id;
    if taken is not null then
        raise unique_violation using message = 'the subject is another customer''s', detail = taken,
            constraint = 'customer_subjects_pkey';
    end if;
    return null;
end
$$;
create trigger customer_subjects_of_new after insert on customers
for each row when (new.subjects <> '{}') execute function keep_customer_subjects();
create trigger customer_subjects_of_changed after update of subjects, deleted_at on customers
for each row when (old.subjects is distinct from new.subjects or (old.deleted_at is null) <> (new.deleted_at is null))
execute function keep_customer_subjects();

-- Of two customers that hold a subject already the older one keeps it here; the other one's next change must let go.
insert into customer_subjects (organization_id, subject, customer_id)
select distinct on (c.organization_id, each) c.organization_id, each, c.id
from customers c
cross join unnest(c.subjects) each
where c.deleted_at is null
order by c.organization_id, each, c.created_at, c.id;

-- How often a code was redeemed is Stripe's to say: workers follow its events.
grant select, update on discount_codes to meterstream_worker;
-- Serves: which code of ours an event is about.
create index discount_codes_by_promotion_code on discount_codes (stripe_promotion_code_id);
