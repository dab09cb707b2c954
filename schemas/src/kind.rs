//! The closed list of kinds, plus what a newer build may have written.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::registry::{self, KindEntry, Writer};

/// What kind of event it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One that this build knows; a name of the registry's table.
    Known(&'static str),
    /// A kind or version that only a newer build knows; kept and passed on.
    Unknown(String),
    /// Has a readable `meta`, but a body that could not be applied.
    Unreadable,
}

impl Kind {
    /// The name as in JSON: `terminal.output`, `unreadable`, ...
    pub fn name(&self) -> &str {
        match self {
            Kind::Known(name) => name,
            Kind::Unknown(name) => name,
            Kind::Unreadable => "unreadable",
        }
    }

    /// The kind of that name, if this build knows it.
    pub fn known(name: &str) -> Option<Kind> {
        registry::kind_by_name(name).map(|entry| Kind::Known(entry.name))
    }

    /// Every kind that this build knows, by number.
    pub fn all() -> impl Iterator<Item = Kind> {
        registry::KINDS.iter().map(|entry| Kind::Known(entry.name))
    }

    /// True for the kinds that keys which produce may not send (`kind_not_allowed`): viewers' and moderators'.
    pub fn is_viewer_only(&self) -> bool {
        matches!(
            self.entry(),
            Some(KindEntry {
                writer: Writer::Viewer,
                ..
            })
        )
    }

    pub(crate) fn entry(&self) -> Option<&'static KindEntry> {
        match self {
            Kind::Known(name) => registry::kind_by_name(name),
            Kind::Unknown(_) | Kind::Unreadable => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
