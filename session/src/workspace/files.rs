//! The files that an agent has changed, and their content as far as events tell it.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::event::FoldEvent;
use super::fields::Fields;
use super::window::{Cost, Window, beginning, json_length};

/// JSON bytes of the list; the files that were changed longest ago are forgotten first.
const LIST_BYTES: usize = 64_000;
/// The content of a larger file is not followed.
const CONTENT_BYTES: usize = 1 << 20;
/// Bytes of all contents that are followed; of more, those changed longest ago are not.
const ALL_CONTENT_BYTES: usize = 16 << 20;
const PATH_BYTES: usize = 1_000;

/// SHA-256 of a content, as 64 hexadecimal digits.
pub type ContentHash = String;

/// A file at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    /// As the agent named it.
    pub path: String,
    /// Bytes of its content; absent where it is not known (an edit of a file that was never shown, or one that is too large).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// SHA-256 of its content; absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<ContentHash>,
    /// The language, if the agent told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// What was done to it last: create, edit or rename.
    pub action: String,
    /// How often it was changed.
    pub changes: u64,
    /// Position of the last change.
    pub position: i64,
}

impl Cost for FileState {
    fn cost(&self) -> usize {
        let language = self.language.as_deref().map_or(0, json_length);
        json_length(&self.path) + json_length(&self.action) + language + 190
    }
}

/// The fold.
#[derive(Default)]
pub(super) struct Files {
    list: Window<FileState, LIST_BYTES>,
    /// Contents that are at hand: those made by this fold, and those it was given.
    contents: HashMap<ContentHash, Arc<str>>,
}

impl Files {
    pub(super) fn restore(list: Window<FileState, LIST_BYTES>) -> Self {
        Files {
            list,
            contents: HashMap::new(),
        }
    }

    /// The files, the one changed last at the end.
    pub(super) fn list(&self) -> &Window<FileState, LIST_BYTES> {
        &self.list
    }

    pub(super) fn content(&self, hash: &str) -> Option<&Arc<str>> {
        self.contents.get(hash)
    }

    /// Of the contents at hand.
    pub(super) fn content_bytes(&self) -> usize {
        self.contents.values().map(|content| content.len()).sum()
    }

    pub(super) fn supply(&mut self, content: &str) {
        self.contents.insert(hash_of(content), Arc::from(content));
    }

    /// The content that has to be supplied before the event can be applied.
    pub(super) fn wants(&self, event: &FoldEvent<'_>) -> Option<ContentHash> {
        let fields = Fields::of(event.data);
        if event.kind != "code.changed" || fields.raw("content").is_some() || fields.raw("patch").is_none() {
            return None;
        }
        let path = fields.text("old_path").or_else(|| fields.text("path"))?;
        let hash = self.find(beginning(&path, PATH_BYTES))?.sha256.clone()?;
        (!self.contents.contains_key(&hash)).then_some(hash)
    }

    fn find(&self, path: &str) -> Option<&FileState> {
        self.list.iter().rev().find(|file| file.path == path)
    }

    pub(super) fn apply(&mut self, event: &FoldEvent<'_>) {
        let fields = Fields::of(event.data);
        let Some(path) = fields.text("path") else {
            return;
        };
        let path = beginning(&path, PATH_BYTES).to_owned();
        let action = fields.text("action").unwrap_or_default();
        let old_path = fields.text("old_path");
        let before = old_path
            .as_deref()
            .and_then(|old_path| self.take(beginning(old_path, PATH_BYTES)))
            .or_else(|| self.take(&path));
        if action == "delete" {
            self.forget_unnamed();
            return;
        }
        let content = match (fields.text("content"), fields.text("patch")) {
            (Some(content), _) => Some(Arc::from(content.as_ref())),
            (None, Some(patch)) => self.patched(before.as_ref(), &action, &patch),
            (None, None) => before
                .as_ref()
                .and_then(|before| self.contents.get(before.sha256.as_ref()?).cloned()),
        };
        let mut file = FileState {
            path,
            bytes: None,
            sha256: None,
            language: fields
                .text("language")
                .map(|language| beginning(&language, 100).to_owned())
                .or_else(|| before.as_ref()?.language.clone()),
            action: beginning(&action, 20).to_owned(),
            changes: before.as_ref().map_or(0, |before| before.changes) + 1,
            position: event.position,
        };
        match content.filter(|content| content.len() <= CONTENT_BYTES) {
            Some(content) => {
                let hash = hash_of(&content);
                file.bytes = Some(content.len() as u64);
                file.sha256 = Some(hash.clone());
                self.contents.insert(hash, content);
            }
            // A rename alone changes nothing in the content, whether it is at hand or not.
            None if fields.raw("content").is_none() && fields.raw("patch").is_none() => {
                file.bytes = before.as_ref().and_then(|before| before.bytes);
                file.sha256 = before.and_then(|before| before.sha256);
            }
            None => {}
        }
        self.list.push(file);
        self.limit_contents();
        self.forget_unnamed();
    }

    fn patched(&self, before: Option<&FileState>, action: &str, patch: &str) -> Option<Arc<str>> {
        let base = match before {
            Some(before) => self.contents.get(before.sha256.as_ref()?)?.clone(),
            None if action == "create" => Arc::from(""),
            None => return None,
        };
        let patch = diffy::Patch::from_str(patch).ok()?;
        diffy::apply(&base, &patch).ok().map(Arc::from)
    }

    fn take(&mut self, path: &str) -> Option<FileState> {
        self.list.take(|file| file.path == path)
    }

    /// Stops following the contents changed longest ago when all together are too much. By the list alone, so that a
    /// fold that went on from a keyframe decides the same.
    fn limit_contents(&mut self) {
        let mut all = 0;
        let mut too_many = Vec::new();
        for file in self.list.iter().rev() {
            all += file.bytes.unwrap_or(0) as usize;
            if all > ALL_CONTENT_BYTES && file.sha256.is_some() {
                too_many.push(file.path.clone());
            }
        }
        for path in too_many {
            self.list.change(
                |file| file.path == path,
                |file| {
                    file.sha256 = None;
                    file.bytes = None;
                },
            );
        }
    }

    /// Lets go of the contents that no file has any more.
    fn forget_unnamed(&mut self) {
        // Looking through both costs more than the few contents that are too many.
        if self.contents.len() < 2 * self.list.iter().len() + 16 {
            return;
        }
        let named: std::collections::HashSet<&str> = self
            .list
            .iter()
            .filter_map(|file| file.sha256.as_deref())
            .collect();
        self.contents.retain(|hash, _| named.contains(hash.as_str()));
    }
}

/// The name of a content.
pub(super) fn hash_of(content: &str) -> ContentHash {
    let digest = Sha256::digest(content.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
