-- name: is_installed
select to_regclass('procrastinate.procrastinate_jobs') is not null

-- name: create_schema
-- For this transaction, what has no schema in its name goes there.
create schema procrastinate;
set local search_path = procrastinate, public

-- name: grant
grant usage on schema procrastinate to meterstream_worker;
grant select, insert, update, delete on all tables in schema procrastinate to meterstream_worker;
grant usage on all sequences in schema procrastinate to meterstream_worker;
grant execute on all functions in schema procrastinate to meterstream_worker

-- name: read_cursor
select reached_at from job_cursors where name = %(name)s

-- name: move_cursor
insert into job_cursors (name, reached_at) values (%(name)s, %(reached_at)s)
on conflict (name) do update set reached_at = greatest(job_cursors.reached_at, excluded.reached_at)
