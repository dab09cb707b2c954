//! One fold behind the interface.

use std::collections::HashSet;

use kulti_session::{FoldEvent, Keyframe, Workspace};

/// A workspace, and the contents that nobody could give it.
pub(crate) struct Fold {
    workspace: Workspace,
    /// What was asked for last.
    wanted: Option<String>,
    missing: HashSet<String>,
}

impl Fold {
    /// Before the first event.
    pub(crate) fn new() -> Self {
        Fold::of(Workspace::new())
    }

    fn of(workspace: Workspace) -> Self {
        Fold {
            workspace,
            wanted: None,
            missing: HashSet::new(),
        }
    }

    /// From a keyframe's JSON.
    pub(crate) fn from_keyframe(json: &str) -> Result<Self, String> {
        let keyframe = Keyframe::from_json(json).map_err(|error| error.to_string())?;
        let keyframe = keyframe.ok_or("the keyframe is of another fold")?;
        Ok(Fold::of(Workspace::from_keyframe(keyframe)))
    }

    /// Applies lines until a content is missing: how many, and the content's hash.
    pub(crate) fn apply(&mut self, events: &str) -> Result<(i32, String), String> {
        let mut taken = 0;
        for line in events.lines() {
            let event = FoldEvent::parse(line).map_err(|error| format!("line {taken}: {error}"))?;
            if let Some(hash) = self
                .workspace
                .wants(&event)
                .filter(|hash| !self.missing.contains(hash))
            {
                self.wanted = Some(hash.clone());
                return Ok((taken, hash));
            }
            self.workspace.apply(&event);
            taken += 1;
        }
        Ok((taken, String::new()))
    }

    /// Takes a content, or notes that it cannot be had.
    pub(crate) fn supply(&mut self, content: &str) -> (i32, String) {
        match self.wanted.take() {
            Some(hash) if content.is_empty() => {
                self.missing.insert(hash);
            }
            _ => self.workspace.supply(content),
        }
        (0, String::new())
    }

    /// The last event's.
    pub(crate) fn position(&self) -> i32 {
        i32::try_from(self.workspace.position()).unwrap_or(i32::MAX)
    }

    /// The whole state.
    pub(crate) fn keyframe(&self) -> String {
        self.workspace.keyframe().to_json()
    }

    /// A terminal's screen.
    pub(crate) fn screen(&self, terminal: &str) -> String {
        let name = (!terminal.is_empty()).then_some(terminal);
        serde_json::to_string(&self.workspace.screen(name)).unwrap_or_default()
    }

    /// The files that were changed.
    pub(crate) fn files(&self) -> String {
        let files: Vec<_> = self.workspace.files().collect();
        serde_json::to_string(&files).unwrap_or_default()
    }

    /// A file's text.
    pub(crate) fn content(&self, hash: &str) -> Result<String, String> {
        let content = self.workspace.content(hash);
        content
            .map(ToString::to_string)
            .ok_or_else(|| "not at hand".to_owned())
    }
}
