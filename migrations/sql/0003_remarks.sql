-- What viewers add to sessions, and what hides parts of them, is looked for by session and kind. These kinds are few
-- among many events: an index on them costs the writer next to nothing, and spares readers a walk over the session.

create index events_of_remarks on events (session_id, position)
    where kind in ('marker', 'clip', 'chat', 'redaction');
