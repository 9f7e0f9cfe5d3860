-- Workers may do what their statements do, table by table; 0004 let them do everything but change the schema. What is not
-- named here is not theirs, and a table that comes later says itself who may do what with it.
alter default privileges in schema public revoke all on tables from meterstream_worker;
alter default privileges in schema public revoke all on sequences from meterstream_worker;
revoke all on all tables in schema public from meterstream_worker;
-- Identity columns need none.
revoke all on all sequences in schema public from meterstream_worker;
revoke execute on function find_api_key(bytea), organization_named(text) from meterstream_worker;

-- All of them, at their start.
grant select on schema_migrations to meterstream_worker;

-- Counting, and folding of the journal. Only a rebuild empties totals and dead letters, as their owner.
grant select on organizations, meters, catalogue_version to meterstream_worker;
grant select, insert on stream_topics, usage_series, dead_letters to meterstream_worker;
grant select, insert, update on stream_positions, usage_buckets to meterstream_worker;
grant insert on usage_values to meterstream_worker;
grant select, insert, delete on stream_blocks to meterstream_worker;

-- Feeding the warehouse.
grant select, insert, update on warehouse_loads to meterstream_worker;

-- Following Stripe. Customers, plans and checkouts come from people.
grant select on pricing_plans to meterstream_worker;
grant select, update on customers, checkouts to meterstream_worker;
grant select, insert, update on payment_methods, subscriptions, invoices, outbox, stripe_inbox to meterstream_worker;
grant select, insert, delete on invoice_lines to meterstream_worker;
grant insert on subscription_changes to meterstream_worker;

-- Jobs. What an answer told is nobody's business; how old it is, is.
grant select, insert, update on job_cursors to meterstream_worker;
grant select (created_at), delete on idempotency_keys to meterstream_worker;
