-- name: note
-- Of two who meet it at once the first one is right.
insert into stripe_account (account_id, livemode) values (%(account_id)s, %(livemode)s)
on conflict (only_one) do nothing

-- name: read
select account_id, livemode from stripe_account
