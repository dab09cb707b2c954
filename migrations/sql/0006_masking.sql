-- Secrets that only several events together are: up to where a session's rows have been looked through for them.

alter table sessions
    add column masked_to bigint not null default 0;
create index sessions_to_mask on sessions (id) where position > masked_to;
