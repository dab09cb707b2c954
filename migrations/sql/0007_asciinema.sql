-- asciinema's own API (docs/adr/0016): which installations of its command line write as which key, and their streams.

-- An installation's id, connected with a key by somebody who has both.
create table control.installations (
    hash            bytea primary key,           -- of the id, which is a secret: a random UUID
    key_id          text not null references control.keys (id),
    connected_at    timestamptz not null default now()
);

-- A stream is a session that one producer socket at a time writes.
create table control.streams (
    id              bigint generated always as identity primary key,   -- asciinema's clients want a number
    session_id      text collate "C" not null unique,
    agent_id        text collate "C" not null,
    key_id          text not null default '',    -- '' before there are keys
    token_hash      bytea not null unique,       -- of what is in the producer's URL
    claims          bigint not null default 0,   -- counts connections: one that finds a later one writes nothing more
    created_at      timestamptz not null default now()
);
create index streams_by_key on control.streams (key_id, id);
