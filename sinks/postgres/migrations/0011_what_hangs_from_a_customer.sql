-- What hangs from a customer belongs to the customer's organization. Policies see that a row says its own organization;
-- that its customer is of the same one, only the row itself can promise.
alter table customers add constraint customers_of_organization unique (id, organization_id);
do $$
declare
    name text;
begin
    foreach name in array array['payment_methods', 'subscriptions', 'subscription_changes', 'invoices', 'invoice_lines',
                                'usage_records', 'enterprise_pricing', 'checkouts', 'outbox'] loop
        execute format('alter table %I drop constraint if exists %I', name, name || '_customer_id_fkey');
        execute format('alter table %I add constraint %I foreign key (customer_id, organization_id)'
                       ' references customers (id, organization_id)', name, name || '_customer_id_fkey');
    end loop;
end
$$;

-- Stripe's events name customers of every tenant. The API stores and lists them as an operator, and reads none otherwise.
alter table stripe_inbox enable row level security;
alter table stripe_inbox force row level security;
create policy workers on stripe_inbox to meterstream_worker using (true) with check (true);
create policy operators on stripe_inbox to meterstream_api using ((select app_operator()));
