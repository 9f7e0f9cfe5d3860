-- name: say_who_asks
-- Until the transaction ends: the next one on this connection begins as nobody.
select set_config('app.organization_id', %(organization_id)s, true), set_config('app.user_id', %(user_id)s, true),
    set_config('app.operator', %(operator)s, true)

-- name: snapshot
-- Before anything else in its transaction.
set transaction isolation level repeatable read, read only
