-- name: create_database
-- Atomic by name: the embedded engine's default kind refuses what we need.
create database if not exists {database:Identifier} engine = Atomic

-- name: create_journal
-- Two processes may write the same row; it says the same.
create table if not exists schema_migrations (name String, sha256 String, applied_at DateTime default now())
engine = ${MergeTree} order by name

-- name: applied
select distinct name, sha256 from schema_migrations order by name

-- name: add
insert into schema_migrations (name, sha256) values ({name:String}, {sha256:String})

-- name: journal_exists
select count() from system.tables where database = currentDatabase() and name = 'schema_migrations'
