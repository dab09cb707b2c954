//! Claude Code's own tools: what their calls and results mean besides being calls and results.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::adapter::Output;
use crate::calls::OpenCall;
use crate::fields::{Data, some_text, text};
use crate::reader::short_hash;

/// Members of Bash's structured result that its events tell.
const BASH_RESULT: &[&str] = &[
    "stdout",
    "stderr",
    "interrupted",
    "isImage",
    "noOutputExpected",
    "returnCodeInterpretation",
    "exitCode",
    "sandbox",
    "summary",
];
/// The same of the tools that change files.
const EDIT_RESULT: &[&str] = &[
    "type",
    "filePath",
    "oldString",
    "newString",
    "originalFile",
    "structuredPatch",
    "userModified",
    "replaceAll",
    "content",
    "edits",
    "originalFileContents",
    "gitDiff",
];

/// A result that Claude Code sends the model, and what it keeps for itself.
pub(super) struct ToolResult<'r> {
    /// The text of the result.
    pub(super) text: &'r str,
    pub(super) is_error: bool,
    /// `toolUseResult`, `tool_use_result`.
    pub(super) structured: Option<&'r Value>,
    pub(super) duration_ms: Option<Value>,
}

/// What is known of the files that were changed, by path.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Hash of the content after the last change.
    contents: HashMap<String, u64>,
}

/// Of a call's input, what its result's events will need.
pub(super) fn kept_input(tool: &str, input: &Value) -> Value {
    match tool {
        "Edit" | "MultiEdit" | "Write" | "NotebookEdit" => input.clone(),
        "Bash" => json!({"run_in_background": input["run_in_background"]}),
        _ => Value::Null,
    }
}

/// Says what the call means by itself.
pub(super) fn started(call: &str, tool: &str, input: &Value, folder: Option<&str>, out: &mut Output<'_>) {
    match tool {
        "Bash" => {
            if let Some(command) = text(input, "command") {
                out.event(
                    "terminal.command",
                    Data::new()
                        .with("command", command)
                        .some("cwd", folder)
                        .with("call", call),
                );
            }
        }
        "TodoWrite" => plan(input, call, out),
        _ => {}
    }
}

fn plan(input: &Value, call: &str, out: &mut Output<'_>) {
    let Some(todos) = input["todos"].as_array() else {
        return;
    };
    let state = |todo: &Value| text(todo, "status").unwrap_or("pending").to_owned();
    let steps: Vec<Value> = todos
        .iter()
        .map(|todo| {
            let text = some_text(todo, "content").or(some_text(todo, "activeForm"));
            json!({"text": text.unwrap_or_default(), "state": state(todo)})
        })
        .collect();
    let done = todos.iter().filter(|todo| state(todo) == "completed").count();
    out.event(
        "progress",
        Data::new()
            .with("done", done)
            .with("total", steps.len())
            .with("plan", steps)
            .with("call", call),
    );
}

/// Says what the result means. Gives what of the structured result is told nowhere.
pub(super) fn finished(
    call: &OpenCall,
    result: &ToolResult<'_>,
    files: &mut Files,
    out: &mut Output<'_>,
) -> Option<Value> {
    let known: &[&str] = match call.tool.as_str() {
        "Bash" => {
            printed(call, result, out);
            BASH_RESULT
        }
        "Edit" | "MultiEdit" | "Write" | "NotebookEdit" => {
            if !result.is_error {
                files.changed(call, result.structured, out);
            }
            EDIT_RESULT
        }
        "TodoWrite" => &["oldTodos", "newTodos"],
        _ => &[],
    };
    untold(result, known)
}

/// Of the structured result, what `known` does not name and the text does not say.
pub(super) fn untold(result: &ToolResult<'_>, known: &[&str]) -> Option<Value> {
    match result.structured? {
        Value::Null => None,
        Value::String(text) => {
            let text = text.strip_prefix("Error: ").unwrap_or(text);
            (text != result.text).then(|| text.into())
        }
        Value::Object(members) => {
            let rest: serde_json::Map<_, _> = members
                .iter()
                .filter(|(name, _)| !known.contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            (!rest.is_empty()).then_some(Value::Object(rest))
        }
        other => Some(other.clone()),
    }
}

fn printed(call: &OpenCall, result: &ToolResult<'_>, out: &mut Output<'_>) {
    let structured = result.structured.filter(|value| value.is_object());
    let streams = structured.map(|value| {
        let of = |name| some_text(value, name).unwrap_or_default();
        [("stdout", of("stdout")), ("stderr", of("stderr"))]
    });
    let streams = match streams {
        Some(streams) if streams.iter().any(|(_, text)| !text.is_empty()) => streams,
        _ => [("stdout", result.text), ("stderr", "")],
    };
    for (stream, text) in streams {
        if !text.is_empty() {
            let end = if text.ends_with('\n') { "" } else { "\n" };
            out.event(
                "terminal.output",
                Data::new()
                    .with("text", format!("{text}{end}"))
                    .with("stream", stream)
                    .with("call", call.call.as_str()),
            );
        }
    }
    let runs_on = call.input["run_in_background"] == true
        || structured.is_some_and(|value| value.get("backgroundTaskId").is_some_and(Value::is_string));
    if !runs_on {
        out.event(
            "terminal.exited",
            Data::new()
                .with("code", exit_code(result, structured))
                .with("call", call.call.as_str()),
        );
    }
}

/// Claude Code tells the code only in words, and only where it is not 0.
fn exit_code(result: &ToolResult<'_>, structured: Option<&Value>) -> i64 {
    if let Some(code) = structured.and_then(|value| value["exitCode"].as_i64()) {
        return code;
    }
    let text = result.text.strip_prefix("Error: ").unwrap_or(result.text);
    let told = text.strip_prefix("Exit code ").and_then(|rest| {
        rest.split(|c: char| !c.is_ascii_digit() && c != '-')
            .next()?
            .parse()
            .ok()
    });
    let interrupted = structured.is_some_and(|value| value["interrupted"] == true);
    match (told, interrupted, result.is_error) {
        (Some(code), _, _) => code,
        (None, true, _) => 130,
        (None, false, is_error) => i64::from(is_error),
    }
}

impl Files {
    fn changed(&mut self, call: &OpenCall, structured: Option<&Value>, out: &mut Output<'_>) {
        let input = &call.input;
        let structured = structured
            .filter(|value| value.is_object())
            .unwrap_or(&Value::Null);
        let path = some_text(input, "file_path")
            .or(some_text(input, "notebook_path"))
            .or(some_text(structured, "filePath"));
        let Some(path) = path else {
            return;
        };
        let before = text(structured, "originalFile");
        let after = match call.tool.as_str() {
            "Write" => text(input, "content").map(str::to_owned),
            "Edit" | "MultiEdit" => before.and_then(|before| edited(before, input)),
            _ => None,
        };
        let patch = patch_of(structured, input);
        // The whole content is said where those who follow the file cannot know what the patch is against.
        let follows = before.is_some_and(|before| self.contents.get(path) == Some(&short_hash(before)));
        let content = after.as_deref().filter(|_| call.tool == "Write" || !follows);
        let is_new = match text(structured, "type") {
            Some(kind) => kind == "create",
            None => call.tool == "Write" && !self.contents.contains_key(path),
        };
        let action = if is_new { "create" } else { "edit" };
        match &after {
            Some(after) => self.contents.insert(path.to_owned(), short_hash(after)),
            None => self.contents.insert(path.to_owned(), 0),
        };
        out.event(
            "code.changed",
            Data::new()
                .with("path", path)
                .with("action", action)
                .some("content", content)
                .some("patch", patch)
                .with("call", call.call.as_str()),
        );
    }
}

/// The file after the edits, if they can be made as they are told.
fn edited(before: &str, input: &Value) -> Option<String> {
    let mut content = before.to_owned();
    let single = std::slice::from_ref(input);
    for edit in input["edits"].as_array().map_or(single, Vec::as_slice) {
        let (old, new) = (text(edit, "old_string")?, text(edit, "new_string")?);
        content = match (old.is_empty(), edit["replace_all"] == true) {
            (true, _) => format!("{new}{content}"),
            (false, _) if !content.contains(old) => return None,
            (false, true) => content.replace(old, new),
            (false, false) => content.replacen(old, new, 1),
        };
    }
    Some(content)
}

/// A unified diff: the one that Claude Code made, else the strings of the edit.
fn patch_of(structured: &Value, input: &Value) -> Option<String> {
    if let Some(hunks) = structured["structuredPatch"]
        .as_array()
        .filter(|hunks| !hunks.is_empty())
    {
        let mut patch = String::new();
        for hunk in hunks {
            let number = |name: &str| hunk[name].as_i64().unwrap_or(1);
            patch.push_str(&format!(
                "@@ -{},{} +{},{} @@\n",
                number("oldStart"),
                number("oldLines"),
                number("newStart"),
                number("newLines")
            ));
            for line in hunk["lines"].as_array().into_iter().flatten() {
                patch.push_str(line.as_str().unwrap_or_default());
                patch.push('\n');
            }
        }
        return Some(patch);
    }
    let single = std::slice::from_ref(input);
    let mut patch = String::new();
    for edit in input["edits"].as_array().map_or(single, Vec::as_slice) {
        let (old, new) = (text(edit, "old_string")?, text(edit, "new_string")?);
        patch.push_str(&format!(
            "@@ -1,{} +1,{} @@\n",
            old.lines().count(),
            new.lines().count()
        ));
        for (sign, side) in [('-', old), ('+', new)] {
            for line in side.lines() {
                patch.push(sign);
                patch.push_str(line);
                patch.push('\n');
            }
        }
    }
    Some(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_read_from_words() {
        let code = |text, is_error| {
            exit_code(
                &ToolResult {
                    text,
                    is_error,
                    structured: None,
                    duration_ms: None,
                },
                None,
            )
        };
        assert_eq!(code("Exit code 127\nnot found", true), 127);
        assert_eq!(code("Error: Exit code 2", true), 2);
        assert_eq!(code("failed", true), 1);
        assert_eq!(code("Exit codes are fun", false), 0);
        assert_eq!(code("ok", false), 0);
    }

    #[test]
    fn edits_are_made_as_they_are_told() {
        let edit = json!({"edits": [{"old_string": "a", "new_string": "b", "replace_all": true},
            {"old_string": "b", "new_string": "c"}]});
        assert_eq!(edited("a a", &edit).as_deref(), Some("c b"));
        assert_eq!(edited("x", &edit), None);
    }
}
