//! Constant schema ids, and the table behind the read side of the Schema Registry API.
//!
//! To add a kind or a version: README.md of this crate.

use std::collections::HashMap;
use std::sync::LazyLock;

/// 0x4B000000 | kind << 8 | version: the same everywhere, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId(pub u32);

impl SchemaId {
    const OURS: u32 = 0x4B00_0000;

    pub(crate) const fn of(kind: u16, version: u8) -> Self {
        SchemaId(Self::OURS | (kind as u32) << 8 | version as u32)
    }

    /// True for every id that some build of Kulti may have written, known here or not.
    pub(crate) const fn is_ours(self) -> bool {
        self.0 & 0xFF00_0000 == Self::OURS
    }

    pub(crate) const fn kind_number(self) -> u16 {
        (self.0 >> 8) as u16
    }

    pub(crate) const fn version(self) -> u8 {
        self.0 as u8
    }
}

/// One version of one kind's schema.
#[derive(Debug)]
pub struct RegisteredSchema {
    /// The constant id.
    pub id: SchemaId,
    /// The kind's name, `terminal.output` for instance.
    pub kind: &'static str,
    /// The full Avro record name, `kulti.TerminalOutput` for instance (subject = topic + "-" + record name).
    pub record: &'static str,
    /// 1, 2, 3, ...
    pub version: u32,
    /// The schema as JSON text.
    pub json: &'static str,
}

/// Who may send a kind through ingest with a key that produces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// Agents; viewers and Kulti itself too, where that makes sense.
    Agent,
    /// Only viewers, moderators and owners, through their own routes.
    Viewer,
}

/// One kind and all its versions, oldest first.
#[derive(Debug)]
pub(crate) struct KindEntry {
    pub number: u16,
    pub name: &'static str,
    pub record: &'static str,
    pub writer: Writer,
    pub versions: &'static [(u8, &'static str)],
}

/// Kinds above this number write their name into meta's attributes, because readers of the first release
/// do not know the number.
pub(crate) const LAST_KIND_OF_FIRST_RELEASE: u16 = 32;

macro_rules! kinds {
    ($($number:literal, $name:literal, $record:literal, $writer:ident, [$($version:literal),+];)+) => {
        /// Numbers are part of the ids in the log: never changed, never used again.
        pub(crate) static KINDS: &[KindEntry] = &[$(KindEntry {
            number: $number,
            name: $name,
            record: $record,
            writer: Writer::$writer,
            versions: &[$(($version, include_str!(concat!("../avro/", $name, "/v", $version, ".avsc")))),+],
        }),+];
    };
}

kinds! {
    1, "session.started", "kulti.SessionStarted", Agent, [1];
    2, "session.updated", "kulti.SessionUpdated", Agent, [1];
    3, "session.ended", "kulti.SessionEnded", Agent, [1];
    4, "session.erased", "kulti.SessionErased", Viewer, [1];
    5, "thought", "kulti.Thought", Agent, [1];
    6, "message.delta", "kulti.MessageDelta", Agent, [1];
    7, "message.completed", "kulti.MessageCompleted", Agent, [1];
    8, "tool.started", "kulti.ToolStarted", Agent, [1];
    9, "tool.finished", "kulti.ToolFinished", Agent, [1];
    10, "terminal.command", "kulti.TerminalCommand", Agent, [1];
    11, "terminal.output", "kulti.TerminalOutput", Agent, [1];
    12, "terminal.exited", "kulti.TerminalExited", Agent, [1];
    13, "terminal.resized", "kulti.TerminalResized", Agent, [1];
    14, "code.changed", "kulti.CodeChanged", Agent, [1];
    15, "status.changed", "kulti.StatusChanged", Agent, [1];
    16, "progress", "kulti.Progress", Agent, [1];
    17, "preview.opened", "kulti.PreviewOpened", Agent, [1];
    18, "preview.closed", "kulti.PreviewClosed", Agent, [1];
    19, "error", "kulti.Error", Agent, [1];
    20, "usage", "kulti.Usage", Agent, [1];
    21, "marker", "kulti.Marker", Agent, [1];
    22, "chat", "kulti.Chat", Viewer, [1];
    23, "memory", "kulti.Memory", Agent, [1];
    24, "custom", "kulti.Custom", Agent, [1];
    25, "clip", "kulti.Clip", Viewer, [1];
    26, "reaction", "kulti.Reaction", Viewer, [1];
    27, "chat.delivered", "kulti.ChatDelivered", Viewer, [1];
    28, "chat.read", "kulti.ChatRead", Viewer, [1];
    29, "moderation", "kulti.Moderation", Viewer, [1];
    30, "approval.requested", "kulti.ApprovalRequested", Agent, [1];
    31, "approval.resolved", "kulti.ApprovalResolved", Viewer, [1];
    32, "redaction", "kulti.Redaction", Viewer, [1];
}

static SCHEMAS: LazyLock<Vec<RegisteredSchema>> = LazyLock::new(|| {
    let schemas_of = |entry: &'static KindEntry| {
        entry.versions.iter().map(|&(version, json)| RegisteredSchema {
            id: SchemaId::of(entry.number, version),
            kind: entry.name,
            record: entry.record,
            version: version.into(),
            json,
        })
    };
    KINDS.iter().flat_map(schemas_of).collect()
});

static KINDS_BY_NAME: LazyLock<HashMap<&'static str, &'static KindEntry>> =
    LazyLock::new(|| KINDS.iter().map(|entry| (entry.name, entry)).collect());

/// All of them, oldest versions included, by kind and version.
pub fn schemas() -> &'static [RegisteredSchema] {
    &SCHEMAS
}

/// The one with this id.
pub fn schema_by_id(id: SchemaId) -> Option<&'static RegisteredSchema> {
    SCHEMAS
        .binary_search_by_key(&id, |schema| schema.id)
        .ok()
        .map(|index| &SCHEMAS[index])
}

pub(crate) fn kind_by_name(name: &str) -> Option<&'static KindEntry> {
    KINDS_BY_NAME.get(name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_constants_for_ever() {
        let ids: Vec<String> = schemas()
            .iter()
            .map(|s| format!("{:08x} {}", s.id.0, s.kind))
            .collect();
        let frozen = include_str!("../tests/data/ids.txt");
        // A new schema adds its line at its place; no line ever changes.
        assert_eq!(ids, frozen.lines().collect::<Vec<_>>());
    }

    #[test]
    fn the_table_is_in_order_and_complete() {
        assert!(KINDS.is_sorted_by(|a, b| a.number < b.number));
        assert_eq!(KINDS_BY_NAME.len(), KINDS.len());
        for entry in KINDS {
            let versions: Vec<u8> = entry.versions.iter().map(|(version, _)| *version).collect();
            assert_eq!(
                versions,
                (1..=versions.len() as u8).collect::<Vec<_>>(),
                "{}",
                entry.name
            );
        }
        for schema in schemas() {
            assert!(schema.id.is_ours());
            assert_eq!(schema_by_id(schema.id).unwrap().json, schema.json);
        }
        assert!(schema_by_id(SchemaId(1)).is_none());
    }

    #[test]
    fn every_schema_has_the_record_name_of_its_subject() {
        for schema in schemas() {
            let parsed = apache_avro::Schema::parse_str(schema.json).unwrap();
            assert_eq!(parsed.name().unwrap().to_string(), schema.record);
        }
    }
}
