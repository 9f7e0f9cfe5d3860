-- The API tells operators how long our oldest change waits to be published.
create policy operators on outbox for select to meterstream_api using ((select app_operator()));
