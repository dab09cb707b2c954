-- What makes any moment of a session as near as any other: its replay in parts, each beginning with the state before it.

alter table sessions
    add column seal_at      bigint not null default 256,  -- the sealer looks again once position has come here
    add column fold_version bigint not null default 0;    -- grows when rows changed that were there: what was folded from them is void
create index sessions_to_seal on sessions (id) where position >= seal_at;

create table segments (
    session_id      text collate "C" not null,
    first_position  bigint not null,             -- its first event's; the keyframe is the state before it
    last_position   bigint,                      -- its last event's; null while it is open: its events are rows only
    fold            int not null,                -- which fold made the keyframe (kulti_session::FOLD)
    content         bytea not null,              -- zstd of: keyframe as JSON, line end, then a line per event, as readers get it
    bytes           bigint not null,             -- of the content, unpacked
    sha256          bytea not null,              -- of the content, unpacked
    primary key (session_id, first_position)
);
alter table segments alter column content set storage external;
create unique index segments_open on segments (session_id) where last_position is null;

create table file_contents (
    session_id      text collate "C" not null,
    sha256          bytea not null,              -- of the content, unpacked
    first_position  bigint not null,             -- of the first segment whose keyframe names it
    content         bytea not null,              -- zstd
    bytes           bigint not null,             -- unpacked
    primary key (session_id, sha256)
);
alter table file_contents alter column content set storage external;
