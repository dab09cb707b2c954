//! Codex' rollout files: `~/.codex/sessions/**/rollout-*.jsonl`.
//!
//! Messages and thoughts are told twice, once for people and once for the model, and count once. `token_count` holds
//! running totals, which a fork goes on with; what comes on top of the total before is said, for the model at work.

mod calls;

use serde_json::{Value, json};

use super::amounts;
use crate::adapter::{Adapter, Identity, Output};
use crate::calls::Calls;
use crate::fields::{Data, beginning, has_others, some_text, text, time};
use crate::twice::Twice;
use crate::usage::Amounts;

/// Texts that wait for their second form, which stands a few lines away.
const WAITING: usize = 64;

/// Members of an item that say where it belongs, not what happened.
const ITEM: &[&str] = &[
    "type",
    "id",
    "status",
    "phase",
    "internal_chat_message_metadata_passthrough",
    "metadata",
];

/// In which form something was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// For people: `event_msg`.
    Event,
    /// The model's own: `response_item`.
    Item,
}

/// The adapter.
#[derive(Debug, Default)]
pub(crate) struct Rollout {
    /// The first of the file: what a fork repeats of its parent stays in the fork.
    session: Option<String>,
    model: Option<String>,
    folder: Option<String>,
    has_task: bool,
    calls: Calls,
    twice: Twice<Told, WAITING>,
    used: Amounts,
    /// Calls whose changes of files were told already.
    patched: Vec<String>,
}

impl Adapter for Rollout {
    fn identity<'r>(&self, _: &'r Value) -> Identity<'r> {
        Identity::Line
    }

    fn read(&mut self, record: &Value, out: &mut Output<'_>) {
        out.time(time(record, "timestamp"));
        let payload = &record["payload"];
        let kind = text(record, "type").unwrap_or_default();
        if payload.is_null() {
            return self.bare(kind, record, out);
        }
        out.keep_raw_if(has_others(record, &["type", "timestamp", "payload", "ordinal"]));
        match kind {
            "session_meta" => self.session(payload, out),
            "response_item" => self.item(payload, out),
            "event_msg" => self.event(payload, out),
            "turn_context" => {
                if let Some(model) = some_text(payload, "model") {
                    self.model = Some(model.to_owned());
                    out.model(model);
                }
                self.folder = some_text(payload, "cwd")
                    .map(str::to_owned)
                    .or(self.folder.take());
                out.custom("codex.turn_context", payload.clone());
            }
            "compacted" => compacted(payload, out),
            kind => out.unknown(&format!("codex.{kind}"), payload.clone()),
        }
    }
}

impl Rollout {
    /// Files from before lines had a type around them: the session, then items as they are.
    fn bare(&mut self, kind: &str, record: &Value, out: &mut Output<'_>) {
        match kind {
            "" if record["record_type"].is_string() => out.custom("codex.state", record.clone()),
            "" if record["id"].is_string() => self.session(record, out),
            "" => out.unknown("codex.record", record.clone()),
            _ => self.item(record, out),
        }
    }

    fn session(&mut self, meta: &Value, out: &mut Output<'_>) {
        let id = some_text(meta, "id").or(some_text(meta, "session_id"));
        if self.session.is_some() {
            return out.custom("codex.session_meta", meta.clone());
        }
        self.session = id.map(str::to_owned);
        if let Some(id) = id {
            out.session(id);
        }
        self.folder = some_text(meta, "cwd").map(str::to_owned);
        if let Some(folder) = &self.folder {
            out.folder(folder);
        }
        out.keep_raw();
        out.event(
            "session.started",
            Data::new()
                .some("cwd", self.folder.as_deref())
                .some("version", some_text(meta, "cli_version"))
                .some("originator", some_text(meta, "originator"))
                .some("git_branch", some_text(&meta["git"], "branch"))
                .some("forked_from_id", some_text(meta, "forked_from_id")),
        );
    }

    fn item(&mut self, item: &Value, out: &mut Output<'_>) {
        match text(item, "type").unwrap_or_default() {
            "message" => self.message(item, out),
            "reasoning" => self.reasoning(item, out),
            "function_call" => {
                let arguments = text(item, "arguments").unwrap_or_default();
                let input = serde_json::from_str(arguments).unwrap_or_else(|_| arguments.into());
                out.keep_raw_if(has_others(
                    item,
                    &[ITEM, &["name", "arguments", "call_id", "namespace"]].concat(),
                ));
                self.called(item, input, out);
            }
            "custom_tool_call" => {
                out.keep_raw_if(has_others(item, &[ITEM, &["name", "input", "call_id"]].concat()));
                self.called(item, item["input"].clone(), out);
            }
            "local_shell_call" => {
                out.keep_raw_if(has_others(item, &[ITEM, &["action", "call_id"]].concat()));
                self.called(item, item["action"].clone(), out);
            }
            "function_call_output" | "custom_tool_call_output" | "local_shell_call_output" => {
                out.keep_raw_if(has_others(item, &[ITEM, &["call_id", "output"]].concat()));
                self.result(item, out);
            }
            "web_search_call" => {
                out.keep_raw_if(has_others(item, &[ITEM, &["action"]].concat()));
                let name = some_text(item, "id")
                    .map_or_else(|| format!("line {}", out.line_number()), str::to_owned);
                let call = self.calls.start(&name, "web_search", Value::Null);
                self.calls.finish(&name);
                out.event(
                    "tool.started",
                    Data::new()
                        .with("call", call.as_str())
                        .with("name", "web_search")
                        .with("input", item["action"].clone()),
                );
                let failed = text(item, "status") == Some("failed");
                out.event(
                    "tool.finished",
                    Data::new()
                        .with("call", call)
                        .with("status", if failed { "error" } else { "ok" })
                        .with("output", Value::Null),
                );
            }
            kind @ ("ghost_snapshot"
            | "compaction"
            | "compaction_summary"
            | "context_compaction"
            | "other"
            | "tool_search_call"
            | "tool_search_output"
            | "image_generation_call") => {
                out.custom(&format!("codex.{kind}"), item.clone());
            }
            kind => out.unknown(&format!("codex.{kind}"), item.clone()),
        }
    }

    fn message(&mut self, item: &Value, out: &mut Output<'_>) {
        let role = some_text(item, "role").unwrap_or("assistant");
        out.keep_raw_if(has_others(
            item,
            &[ITEM, &["role", "content", "end_turn"]].concat(),
        ));
        let blocks = item["content"].as_array().map_or(&[][..], Vec::as_slice);
        let mut texts = Vec::new();
        for block in blocks {
            match text(block, "text") {
                Some(said) => texts.push(said),
                None => out.custom(
                    &format!("codex.{}", text(block, "type").unwrap_or("content")),
                    block.clone(),
                ),
            }
        }
        if let Some(said) = item["content"].as_str() {
            texts.push(said);
        }
        let content = texts.join("\n");
        let is_said = !texts.is_empty() || out.drafts.is_empty();
        if is_said && self.twice.is_new(Told::Item, speaker(role), &content) {
            self.said(some_text(item, "id"), role, &content, out);
        }
    }

    fn said(&mut self, id: Option<&str>, role: &str, content: &str, out: &mut Output<'_>) {
        let name = id.map_or_else(|| format!("line {}", out.line_number()), str::to_owned);
        let model = self.model.as_deref().filter(|_| role == "assistant");
        out.event(
            "message.completed",
            Data::new()
                .with("message", name)
                .with("role", role)
                .with("content", content)
                .some("model", model),
        );
        // What Codex puts in begins with a tag or a heading.
        let is_prompt =
            role == "user" && !content.trim_start().starts_with(['<', '#']) && !content.trim().is_empty();
        if is_prompt && !self.has_task {
            self.has_task = true;
            out.event("session.updated", Data::new().with("task", beginning(content)));
        }
    }

    fn reasoning(&mut self, item: &Value, out: &mut Output<'_>) {
        let texts = ["summary", "content"]
            .iter()
            .flat_map(|name| item[*name].as_array().into_iter().flatten())
            .filter_map(|part| text(part, "text"));
        let mut is_told = false;
        for said in texts {
            is_told = true;
            self.thought(Told::Item, said, out);
        }
        let known = [ITEM, &["summary", "content", "encrypted_content"]].concat();
        out.keep_raw_if(has_others(item, &known));
        if !is_told {
            // Encrypted, or nothing at all: there was a thought, and no more is known.
            out.custom("codex.reasoning", item.clone());
        } else if some_text(item, "encrypted_content").is_some() {
            out.keep_raw();
        }
    }

    fn thought(&mut self, told: Told, said: &str, out: &mut Output<'_>) {
        if self.twice.is_new(told, "thought", said) {
            out.event(
                "thought",
                Data::new().with("content", said).with("type", "reasoning"),
            );
        }
    }

    fn event(&mut self, event: &Value, out: &mut Output<'_>) {
        let kind = text(event, "type").unwrap_or_default();
        match kind {
            "user_message" | "agent_message" => {
                let (role, name) = match kind {
                    "user_message" => ("user", "user"),
                    _ => ("assistant", "assistant"),
                };
                let said = text(event, "message").unwrap_or_default();
                let known = [
                    "type",
                    "message",
                    "phase",
                    "memory_citation",
                    "images",
                    "local_images",
                    "text_elements",
                    "kind",
                ];
                if self.twice.is_new(Told::Event, name, said) {
                    out.keep_raw_if(has_others(event, &known));
                    self.said(None, role, said, out);
                }
                let images = event["images"]
                    .as_array()
                    .is_some_and(|images| !images.is_empty())
                    || event["local_images"]
                        .as_array()
                        .is_some_and(|images| !images.is_empty());
                if images {
                    out.custom(
                        "codex.images",
                        json!({"images": event["images"], "local_images": event["local_images"]}),
                    );
                }
            }
            "agent_reasoning" | "agent_reasoning_raw_content" => {
                self.thought(Told::Event, text(event, "text").unwrap_or_default(), out);
            }
            "token_count" => self.used(event, out),
            "patch_apply_end" => self.patched(event, out),
            "error" | "stream_error" | "warning" => {
                out.keep_raw_if(has_others(event, &["type", "message"]));
                let message = some_text(event, "message").unwrap_or("unknown error");
                if kind == "warning" {
                    out.event(
                        "status.changed",
                        Data::new().with("status", "warning").with("detail", message),
                    );
                } else {
                    out.event("error", Data::new().with("message", message).with("code", kind));
                }
            }
            "task_started" | "turn_started" => {
                out.keep_raw();
                out.event("status.changed", Data::new().with("status", "working"));
            }
            "task_complete" | "turn_complete" => {
                out.keep_raw();
                out.event("status.changed", Data::new().with("status", "completed"));
                out.ends("completed");
            }
            "turn_aborted" => {
                out.keep_raw();
                out.event(
                    "status.changed",
                    Data::new()
                        .with("status", "cancelled")
                        .some("detail", some_text(event, "reason")),
                );
                out.ends("cancelled");
            }
            "context_compacted" => out.event("status.changed", Data::new().with("status", "compacted")),
            "thread_name_updated" if some_text(event, "thread_name").is_some() => {
                out.event(
                    "session.updated",
                    Data::new().some("title", some_text(event, "thread_name")),
                );
            }
            "exec_command_begin"
            | "exec_command_end"
            | "exec_command_output_delta"
            | "mcp_tool_call_begin"
            | "mcp_tool_call_end"
            | "web_search_begin"
            | "web_search_end"
            | "patch_apply_begin"
            | "plan_update"
            | "turn_diff"
            | "thread_rolled_back"
            | "entered_review_mode"
            | "exited_review_mode"
            | "view_image_tool_call"
            | "item_completed"
            | "item_started"
            | "undo_completed"
            | "background_event"
            | "session_configured"
            | "thread_settings_applied"
            | "thread_name_updated"
            | "guardian_assessment"
            | "dynamic_tool_call_request"
            | "dynamic_tool_call_response"
            | "thread_goal_updated"
            | "model_reroute"
            | "collab_agent_spawn_end"
            | "collab_agent_interaction_end"
            | "collab_waiting_end"
            | "collab_close_end"
            | "image_generation_end" => {
                out.custom(&format!("codex.{kind}"), event.clone());
            }
            kind => out.unknown(&format!("codex.{kind}"), event.clone()),
        }
    }

    fn used(&mut self, event: &Value, out: &mut Output<'_>) {
        let total = &event["info"]["total_token_usage"];
        if total.is_object() {
            let now = amounts(total);
            let more = now.since(self.used);
            if !more.is_nothing() {
                let model = self.model.as_deref().unwrap_or("unknown");
                out.event("usage", more.data(model, "call"));
            }
            self.used = now;
        }
        let known = ["type", "info", "rate_limits"];
        out.keep_raw_if(has_others(event, &known));
        // Limits, the context's size, and a total that was told before.
        out.custom(
            "codex.token_count",
            json!({"info": event["info"], "rate_limits": event["rate_limits"]}),
        );
    }
}

/// Who speaks, for telling both forms of a message: the model's items say `developer` for some of the user's.
fn speaker(role: &str) -> &str {
    match role {
        "assistant" => "assistant",
        _ => "user",
    }
}

fn compacted(payload: &Value, out: &mut Output<'_>) {
    out.keep_raw_if(has_others(payload, &["message"]));
    out.event(
        "status.changed",
        Data::new()
            .with("status", "compacted")
            .some("detail", some_text(payload, "message")),
    );
}
