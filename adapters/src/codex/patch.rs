//! Codex' patches (`*** Begin Patch`) as changes of files.

use serde_json::Value;

use crate::adapter::Output;
use crate::fields::{Data, some_text, text};

/// A section of a patch: one file.
#[derive(Debug, Default, PartialEq)]
struct Section {
    path: String,
    action: &'static str,
    old_path: Option<String>,
    body: String,
}

/// Says what the patch within this text changes, one event a file. True if there is one.
pub(super) fn changes_of(text: &str, call: &str, out: &mut Output<'_>) -> bool {
    let sections = sections(text);
    for section in &sections {
        let is_new = section.action == "create";
        let data = Data::new()
            .with("path", section.path.as_str())
            .with("action", section.action)
            .some("old_path", section.old_path.as_deref())
            .some(
                if is_new { "content" } else { "patch" },
                Some(section.body.as_str()).filter(|body| !body.is_empty()),
            )
            .with("call", call);
        out.event("code.changed", data);
    }
    !sections.is_empty()
}

/// Whether the text is or holds a patch.
pub(super) fn holds_patch(text: &str) -> bool {
    text.contains("*** Begin Patch")
}

/// The files of `{path: {type: add|delete|update, content, unified_diff, move_path}}`.
pub(super) fn changes_told(changes: &Value, call: &str, out: &mut Output<'_>) {
    for (path, change) in changes.as_object().into_iter().flatten() {
        // Older versions nest: {"add": {"content": …}}.
        let (kind, change) = match (
            text(change, "type"),
            change.as_object().and_then(|members| members.iter().next()),
        ) {
            (Some(kind), _) => (kind, change),
            (None, Some((kind, change))) => (kind.as_str(), change),
            (None, None) => continue,
        };
        let target = some_text(change, "move_path");
        let action = action_of(kind, target.is_some());
        let data = Data::new()
            .with("path", target.unwrap_or(path))
            .with("action", action)
            .some("old_path", target.map(|_| path.as_str()))
            .some("content", text(change, "content").filter(|_| action == "create"))
            .some("patch", some_text(change, "unified_diff"))
            .with("call", call);
        out.event("code.changed", data);
    }
}

/// Kulti's word for Codex'.
pub(super) fn action_of(kind: &str, moves: bool) -> &'static str {
    match (kind, moves) {
        ("add", _) => "create",
        ("delete", _) => "delete",
        (_, true) => "rename",
        _ => "edit",
    }
}

fn sections(text: &str) -> Vec<Section> {
    let Some(start) = text.find("*** Begin Patch") else {
        return Vec::new();
    };
    let mut sections: Vec<Section> = Vec::new();
    for line in text[start..].lines().skip(1) {
        let begins = |name: &str| line.strip_prefix(name).map(|path| path.trim().to_owned());
        let headings = [
            ("*** Add File: ", "create"),
            ("*** Update File: ", "edit"),
            ("*** Delete File: ", "delete"),
        ];
        let heading = headings
            .iter()
            .find_map(|(name, action)| Some((begins(name)?, *action)));
        if line.starts_with("*** End Patch") {
            break;
        } else if let Some((path, action)) = heading {
            sections.push(Section {
                path,
                action,
                ..Section::default()
            });
        } else if let Some(section) = sections.last_mut() {
            if let Some(target) = begins("*** Move to: ") {
                section.action = "rename";
                section.old_path = Some(std::mem::replace(&mut section.path, target));
            } else if line != "*** End of File" {
                let line = match section.action {
                    "create" => line.strip_prefix('+').unwrap_or(line),
                    _ => line,
                };
                section.body.push_str(line);
                section.body.push('\n');
            }
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_one_change_a_file() {
        let patch = "apply_patch <<'P'\n*** Begin Patch\n*** Add File: a.txt\n+one\n+two\n*** Update File: b.rs\n*** Move to: c.rs\n@@ fn x()\n-old\n+new\n*** Delete File: d\n*** End Patch\nP";
        let sections = sections(patch);
        assert_eq!(sections.len(), 3);
        assert_eq!(
            (sections[0].action, sections[0].body.as_str()),
            ("create", "one\ntwo\n")
        );
        assert_eq!(
            (
                sections[1].action,
                sections[1].path.as_str(),
                sections[1].old_path.as_deref()
            ),
            ("rename", "c.rs", Some("b.rs"))
        );
        assert_eq!(sections[1].body, "@@ fn x()\n-old\n+new\n");
        assert_eq!((sections[2].action, sections[2].path.as_str()), ("delete", "d"));
        assert!(super::sections("no patch").is_empty());
    }
}
