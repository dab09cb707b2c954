-- What redactions and erasures leave behind beside the rows that they change.

-- Redactions that came before the event they name: applied, and forgotten, when it comes.
create table awaited_redactions (
    session_id      text collate "C" not null,
    event_id        uuid not null,               -- the event that has not come yet
    masks           text[] not null,             -- what of it is hidden, JSON each (kulti_schemas::Mask); never the secret
    primary key (session_id, event_id)
);

-- Sessions that were erased: whatever the log still has of them, or gets, is nothing.
create table erased_sessions (
    session_id      text collate "C" primary key,
    partition       int not null,                -- of the log: for what a new epoch concerns
    event_id        uuid not null,               -- of session.erased
    erased_at       timestamptz not null         -- its ingest time
);
