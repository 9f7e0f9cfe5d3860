-- name: begin
-- Until the transaction ends: the next one on this connection begins as nobody.
begin;
select set_config('app.organization_id', %(organization_id)s, true), set_config('app.user_id', %(user_id)s, true),
    set_config('app.operator', %(operator)s, true)

-- name: begin_snapshot
-- The same, reading only, and all statements see one moment.
begin isolation level repeatable read read only;
select set_config('app.organization_id', %(organization_id)s, true), set_config('app.user_id', %(user_id)s, true),
    set_config('app.operator', %(operator)s, true)

-- name: say_who
-- For one statement in the same message, which is one transaction with it.
select set_config('app.organization_id', %(organization_id)s, true), set_config('app.user_id', %(user_id)s, true),
    set_config('app.operator', %(operator)s, true)

-- name: acting_as
-- Whom policies see here, and whether they pass them by.
select current_user::text, rolsuper or rolbypassrls from pg_roles where rolname = current_user
