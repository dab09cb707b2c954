//! Claude Code's hooks: the JSON that it gives to commands on standard input, or posts to an address.
//!
//! They tell of calls before they run, of questions and of turns, and little of what is said. Where a transcript tells
//! more, its words are taken; what hooks alone say is in neither.
//!
//! Source of the format: <https://code.claude.com/docs/en/hooks>.

use serde_json::{Value, json};

use super::messages::{Feed, Messages, Speaker, duration_ms, text_of};
use super::tools::ToolResult;
use crate::adapter::{Identity, Output};
use crate::fields::{Data, has_others, some_text, without};

/// Members that say where a record belongs, not what happened.
const ENVELOPE: &[&str] = &[
    "session_id",
    "transcript_path",
    "cwd",
    "permission_mode",
    "hook_event_name",
    "agent_id",
    "agent_type",
    "agent_transcript_path",
    "prompt_id",
];
/// Known not to say more than that they happened.
const KEPT: &[&str] = &[
    "TaskCreated",
    "TaskCompleted",
    "TeammateIdle",
    "ConfigChange",
    "CwdChanged",
    "FileChanged",
    "InstructionsLoaded",
    "WorktreeCreate",
    "WorktreeRemove",
    "Setup",
    "MessageDisplay",
    "Elicitation",
    "ElicitationResult",
];

/// Whether the record is a hook's.
pub(super) fn is_hook(record: &Value) -> bool {
    record["hook_event_name"].is_string()
}

/// Calls have names, and both of their hooks.
pub(super) fn identity(record: &Value) -> Identity<'_> {
    match (
        some_text(record, "hook_event_name"),
        some_text(record, "tool_use_id"),
    ) {
        (Some(event), Some(call)) => Identity::Named(name_of(event, call).into()),
        _ => Identity::Content,
    }
}

fn name_of(event: &str, call: &str) -> String {
    format!("{event} {call}")
}

/// Says what the hook tells. `alone`: nothing but hooks was heard of the session.
pub(super) fn read(record: &Value, messages: &mut Messages, alone: bool, out: &mut Output<'_>) {
    if let Some(session) = some_text(record, "session_id") {
        out.session(session);
    }
    let folder = some_text(record, "cwd");
    if let Some(folder) = folder {
        out.folder(folder);
        out.about("cwd", folder);
    }
    let hook = Hook {
        record,
        folder,
        speaker: Speaker {
            feed: Feed::Hooks,
            parent: None,
            subagent: some_text(record, "agent_id").map(str::to_owned),
            is_meta: false,
        },
    };
    match some_text(record, "hook_event_name").unwrap_or_default() {
        "SessionStart" => hook.session_start(out),
        "SessionEnd" => hook.session_end(messages, out),
        "UserPromptSubmit" => hook.prompt(messages, alone, out),
        "PreToolUse" => {
            hook.knows(&["tool_name", "tool_input", "tool_use_id"], out);
            hook.called(messages, out);
        }
        "PostToolUse" | "PostToolUseFailure" => hook.finished(messages, out),
        "PermissionRequest" => hook.asked(messages, out),
        "PermissionDenied" => {
            hook.status("permission_denied", &["reason"], out);
            messages.approvals().denied(hook.call(), out);
        }
        "Notification" => {
            let status = some_text(record, "notification_type").unwrap_or("notification");
            hook.status(status, &["message", "title"], out);
        }
        "Stop" => hook.stop(messages, alone, out),
        "StopFailure" => hook.failed(out),
        "SubagentStart" => hook.status("subagent_started", &["agent_type"], out),
        "SubagentStop" => hook.status("subagent_stopped", &["agent_type"], out),
        "PreCompact" => hook.status("compacting", &["trigger"], out),
        "PostCompact" => hook.status("compacted", &["trigger"], out),
        kind if KEPT.contains(&kind) => {
            out.custom(&format!("claude.hook.{kind}"), without(record, ENVELOPE));
        }
        kind => out.unknown(&format!("claude.hook.{kind}"), without(record, ENVELOPE)),
    }
}

struct Hook<'r> {
    record: &'r Value,
    folder: Option<&'r str>,
    speaker: Speaker,
}

impl Hook<'_> {
    fn call(&self) -> Option<&str> {
        some_text(self.record, "tool_use_id")
    }

    /// Besides these, and where the record belongs, nothing is told.
    fn knows(&self, members: &[&str], out: &mut Output<'_>) {
        out.keep_raw_if(has_others(self.record, &[ENVELOPE, members].concat()));
    }

    fn session_start(&self, out: &mut Output<'_>) {
        self.knows(&["source", "model"], out);
        let data = Data::new()
            .some("cwd", self.folder)
            .some("model", some_text(self.record, "model"))
            .some("began_by", some_text(self.record, "source"));
        out.event("session.started", data);
    }

    fn session_end(&self, messages: &mut Messages, out: &mut Output<'_>) {
        self.knows(&["reason"], out);
        messages.approvals().turn_ended(out);
        out.event(
            "session.ended",
            Data::new()
                .with("reason", "completed")
                .some("result", some_text(self.record, "reason")),
        );
    }

    fn prompt(&self, messages: &mut Messages, alone: bool, out: &mut Output<'_>) {
        self.knows(&["prompt", "session_title"], out);
        messages.approvals().turn_ended(out);
        out.event("status.changed", Data::new().with("status", "running"));
        if let Some(prompt) = some_text(self.record, "prompt").filter(|_| alone) {
            // A prompt that is made again is another one.
            let name = format!("prompt {}", out.identity);
            messages.said(&name, "user", prompt, "", &self.speaker, out);
        }
    }

    fn called(&self, messages: &mut Messages, out: &mut Output<'_>) {
        let name = some_text(self.record, "tool_name").unwrap_or("unknown");
        let call = self
            .call()
            .map_or_else(|| format!("call {}", out.identity), str::to_owned);
        let block = json!({"name": name, "input": self.record["tool_input"]});
        messages.called(&block, &call, &self.speaker, self.folder, out);
    }

    fn finished(&self, messages: &mut Messages, out: &mut Output<'_>) {
        let known = [
            "tool_name",
            "tool_input",
            "tool_use_id",
            "tool_response",
            "duration_ms",
            "error",
            "is_interrupt",
        ];
        self.knows(&known, out);
        let Some(call) = self.call() else {
            return out.custom("claude.hook.PostToolUse", without(self.record, ENVELOPE));
        };
        if !messages.is_open(call) && messages.is_new_result(call) {
            // The hook before the call was not heard here, nor is there a line of it. Where it was heard elsewhere, the
            // start is the same event.
            let own = std::mem::replace(&mut out.identity, name_of("PreToolUse", call));
            self.called(messages, out);
            out.identity = own;
        }
        let response = &self.record["tool_response"];
        let error = some_text(self.record, "error");
        let content = error.map_or_else(|| content_of(response), Value::from);
        let text = text_of(&content);
        let result = ToolResult {
            text: &text,
            is_error: error.is_some(),
            // What the text says already is not said again.
            structured: Some(response).filter(|_| !is_whole(response)),
            duration_ms: duration_ms(self.record).or_else(|| duration_ms(response)),
        };
        messages.finished(call, &content, &result, &self.speaker, out);
    }

    fn asked(&self, messages: &mut Messages, out: &mut Output<'_>) {
        let known = ["tool_name", "tool_input", "tool_use_id", "permission_suggestions"];
        self.knows(&known, out);
        let tool = some_text(self.record, "tool_name").unwrap_or("a tool");
        let input = &self.record["tool_input"];
        let call = match self.call() {
            Some(call) => Some(call.to_owned()),
            None => messages.approvals().call_of(tool, input),
        };
        let approval = call
            .clone()
            .unwrap_or_else(|| format!("approval {}", out.identity));
        out.event(
            "approval.requested",
            Data::new()
                .with("approval", approval.as_str())
                .with("title", format!("use {tool}"))
                .with("detail", input.to_string())
                .some("call", call.as_deref()),
        );
        messages.approvals().asked(&approval, call.as_deref(), out);
    }

    fn stop(&self, messages: &mut Messages, alone: bool, out: &mut Output<'_>) {
        self.knows(&["stop_hook_active", "last_assistant_message"], out);
        let last = some_text(self.record, "last_assistant_message");
        if let Some(last) = last.filter(|_| alone) {
            let name = format!("answer {}", out.identity);
            messages.said(&name, "assistant", last, "", &self.speaker, out);
        }
        messages.approvals().turn_ended(out);
        out.event("status.changed", Data::new().with("status", "idle"));
    }

    fn failed(&self, out: &mut Output<'_>) {
        let said = ["error_details", "last_assistant_message", "error"]
            .iter()
            .find_map(|name| some_text(self.record, name));
        out.keep_raw();
        out.event(
            "error",
            Data::new()
                .with("message", said.unwrap_or("the turn ended with an error"))
                .some("code", some_text(self.record, "error")),
        );
    }

    /// A status, with the first of these members that is there.
    fn status(&self, status: &str, details: &[&str], out: &mut Output<'_>) {
        out.keep_raw_if(has_others(
            self.record,
            &[ENVELOPE, details, &["notification_type", "custom_instructions"]].concat(),
        ));
        let detail = details.iter().find_map(|name| some_text(self.record, name));
        out.event(
            "status.changed",
            Data::new()
                .with("status", status)
                .some("detail", detail)
                .some("subagent", self.speaker.subagent.as_deref()),
        );
    }
}

/// What the model gets of a result, as far as its structured form tells. Changes of files are told as such.
fn content_of(response: &Value) -> Value {
    if is_whole(response) {
        return response.to_string().into();
    }
    let printed = ["stdout", "stderr"].map(|name| some_text(response, name).unwrap_or_default());
    match response {
        Value::Object(members) if members.contains_key("filePath") => Value::Null,
        Value::Object(members) if members.contains_key("stdout") => {
            let printed: Vec<&str> = printed.into_iter().filter(|text| !text.is_empty()).collect();
            printed.join("\n").into()
        }
        Value::Object(members) => members.get("content").cloned().unwrap_or_default(),
        _ => response.clone(),
    }
}

/// Whether the response is an object of a form that only its tool knows: its JSON is the result.
fn is_whole(response: &Value) -> bool {
    let known = ["filePath", "stdout", "content"];
    response
        .as_object()
        .is_some_and(|members| !known.iter().any(|name| members.contains_key(*name)))
}
