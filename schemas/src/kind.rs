//! The closed list of kinds, plus what a newer build may have written.

/// What kind of event it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One that this build knows; the index into the registry's table.
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
    pub fn known(_name: &str) -> Option<Kind> {
        todo!()
    }
}
