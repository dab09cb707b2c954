-- The spine: where projections stand, what they wrote, and the few facts that are not in the log.
-- Read models can be dropped and rebuilt from the log; the schema `control` cannot, and is what a backup holds.

create schema control;

-- One row per projection and partition. Rows of a read model and this row change in one transaction (docs/adr/0004).
create table projection_partitions (
    projection      text   not null,
    partition       int    not null,
    owner           bigint not null default 0,   -- counts takeovers: a zombie's commit names an older one and changes nothing
    epoch           bigint not null default 1,   -- counts logs: grows when a cut or recreated log is taken up again
    next_offset     bigint not null default 0,   -- the next offset to read
    last_record     bytea,                       -- fingerprint of the record before it; null before the first
    stopped         text,                        -- 'log_truncated', 'dead_letters': why it does not go on; null while it does
    updated_at      timestamptz not null default now(),
    primary key (projection, partition)
);

create table sessions (
    id              text collate "C" primary key,
    agent_id        text collate "C" not null,
    agent_name      text,
    agent_avatar    text,
    title           text,
    task            text,
    tags            text[] not null default '{}',
    visibility      text check (visibility in ('public', 'unlisted', 'private')),  -- null: never said; the server's default holds
    status          text,                        -- the agent's own word (status.changed), not live/quiet/ended
    partition       int not null,                -- of the log: for sweeps, and for what a new epoch concerns
    position        bigint not null,             -- the last event's
    last_event_id   uuid not null,               -- that event's id
    agent_event_id  uuid,                        -- the agent's last event: a timeout's id is derived from it, and is its cause
    clock           timestamptz not null,        -- c(n) of the last event (design: the session's clock)
    started_at      timestamptz not null,        -- c(1)
    received_at     timestamptz not null,        -- ingest time of the last event: quiet and timeout are measured from it
    agent_event_at  timestamptz,                 -- ingest time of the agent's last event
    ended_at        timestamptz,                 -- null while it is open; a later event opens it again
    end_reason      text,
    usage           jsonb not null default '{}', -- per model and scope: input, output, cache_read, cache_write, cost (kulti-session::usage)
    tokens          bigint not null default 0,   -- folded from usage
    cost_usd        double precision not null default 0
);
-- "live first": open sessions by their last event; and one agent's sessions
create index sessions_by_activity on sessions (received_at desc, id);
create index sessions_by_agent on sessions (agent_id, received_at desc);
create index sessions_open on sessions (received_at) where ended_at is null;

create table events (
    session_id      text collate "C" not null,
    position        bigint not null,             -- 1, 2, 3, ... without holes
    event_id        uuid not null,
    agent_id        text collate "C" not null,
    kind            text collate "C" not null,   -- as readers see it
    source          text collate "C" not null,   -- agent, viewer, system
    time            timestamptz not null,        -- the producer's clock
    received        timestamptz not null,        -- the gateway's clock at ingest
    clock           timestamptz not null,        -- the session's clock c(n)
    producer        text,
    generation      bigint,
    seq             bigint,
    cause           uuid,
    attributes      json,                        -- meta's map; null when empty
    data            json not null,               -- as it came; json, not jsonb, which refuses \u0000 and rewrites numbers
    raw             text,                        -- the line an adapter read, where something in it was not mapped
    record          bytea,                       -- the record's bytes, only for what this build could not decode
    primary key (session_id, position),
    unique (session_id, event_id)                -- the backstop of "once": copies are dropped before they get here
) partition by hash (session_id);
create table events_0 partition of events for values with (modulus 8, remainder 0);
create table events_1 partition of events for values with (modulus 8, remainder 1);
create table events_2 partition of events for values with (modulus 8, remainder 2);
create table events_3 partition of events for values with (modulus 8, remainder 3);
create table events_4 partition of events for values with (modulus 8, remainder 4);
create table events_5 partition of events for values with (modulus 8, remainder 5);
create table events_6 partition of events for values with (modulus 8, remainder 6);
create table events_7 partition of events for values with (modulus 8, remainder 7);

-- API keys: 128 random bits and more, so a plain SHA-256 is the right hash.
create table control.keys (
    id              text primary key,            -- the readable part: kulti_<id>_<secret>
    hash            bytea not null unique,       -- SHA-256 of the whole key
    name            text not null,
    scopes          text[] not null,             -- produce, read, admin
    agent_id        text,                        -- produce for this agent only; null: any
    created_at      timestamptz not null default now(),
    revoked_at      timestamptz
);

-- The first key that writes a session owns it: insert ... on conflict do nothing.
create table control.session_owners (
    session_id      text collate "C" primary key,
    key_id          text not null references control.keys (id),
    taken_at        timestamptz not null default now()
);

-- The simple API's agent -> live session, one row per agent and key ('' before there are keys).
create table control.agent_sessions (
    agent_id        text collate "C" not null,
    key_id          text not null default '',
    session_id      text collate "C" not null,
    used_at         timestamptz not null default now(),
    primary key (agent_id, key_id)
);
