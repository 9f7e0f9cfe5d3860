-- Who begins a subscription holds its customer until it is known here: of two requests at once one wins.
alter table customers add column changing_by text, add column changing_until timestamptz;
-- Why the holder changes it: for the history, should Stripe's event be quicker than the holder's own look.
alter table customers add column changing_reason text;
alter table subscriptions add column changing_reason text;
