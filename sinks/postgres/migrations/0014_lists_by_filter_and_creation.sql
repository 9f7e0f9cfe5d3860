-- Filters and orders of lists that no index served.

-- Serves: customers of an address (`GET /customers?email=`), however it is spelled. A column, since row-level security
-- lets no function but leakproof ones be looked up in an index, and lower() is none.
alter table customers add lower_email text generated always as (lower(email)) stored;
create index customers_by_email on customers (organization_id, lower_email);
-- Serves: invoices in a state (`GET /invoices?status=open`), which may be few among many.
create index invoices_by_status on invoices (organization_id, status, created_at desc, id);
-- Serves: discount codes by creation, archived ones too (`GET /discount-codes`).
create index discount_codes_by_organization on discount_codes (organization_id, created_at desc, id);
-- Serves: plans by creation (`GET /plans?sort=-created_at`).
create index pricing_plans_by_organization on pricing_plans (organization_id, created_at desc, id);
