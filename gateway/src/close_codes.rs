//! Why a socket was closed, as a table: the range tells a client whether to come back.

/// One row of the table in docs/protocol.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseCode {
    /// 4000 to 4499: come back, with back-off. 4500 to 4999: coming back will not help.
    pub code: u16,
    /// Sent with it.
    pub reason: &'static str,
}

/// The gateway is going away; another one, or this one in a moment, goes on from the last position.
pub const SHUTTING_DOWN: CloseCode = CloseCode {
    code: 4000,
    reason: "shutting down",
};
/// Nothing was heard of the client, not even answers to pings.
pub const NO_PONG: CloseCode = CloseCode {
    code: 4001,
    reason: "no pong",
};
/// More than ten messages a second.
pub const TOO_MANY_MESSAGES: CloseCode = CloseCode {
    code: 4002,
    reason: "too many messages",
};
/// A binary message: the protocol is JSON text.
pub const NOT_TEXT: CloseCode = CloseCode {
    code: 4500,
    reason: "messages are JSON text",
};
/// A message over 4 KiB, or one that breaks RFC 6455.
pub const BAD_FRAME: CloseCode = CloseCode {
    code: 4501,
    reason: "not a frame that is taken here",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_distinct_and_in_the_table_of_the_docs() {
        let all = [SHUTTING_DOWN, NO_PONG, TOO_MANY_MESSAGES, NOT_TEXT, BAD_FRAME];
        let docs = include_str!("../../docs/protocol.md");
        for (index, one) in all.iter().enumerate() {
            assert!((4000..5000).contains(&one.code) && one.reason.len() < 124);
            assert!(all[index + 1..].iter().all(|other| other.code != one.code));
            assert!(
                docs.contains(&format!("| {} | {} |", one.code, one.reason)),
                "{one:?} is not in docs/protocol.md"
            );
        }
    }
}
