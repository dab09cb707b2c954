//! Messages of the Messages API, as both of Claude Code's formats hold them: their blocks, calls and results. Its hooks
//! tell of the same calls; each is said once, by whichever comes first.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use super::approvals::Approvals;
use super::tokens::{MessageUsage, SYNTHETIC, amounts};
use super::tools::{self, Files, ToolResult};
use crate::adapter::Output;
use crate::calls::Calls;
use crate::fields::{Data, beginning, has_others, some_text, text};
use crate::reader::short_hash;
use crate::twice::Twice;

/// Messages whose lines may still come: agents beside each other write theirs in turns.
const MESSAGES: usize = 64;
/// Members of a message that events tell, or that say nothing about the session.
const MESSAGE: &[&str] = &[
    "id",
    "type",
    "role",
    "model",
    "content",
    "usage",
    "stop_reason",
    "stop_sequence",
    "stop_details",
];

/// Calls, results and texts that wait for the other feed.
const WAITING: usize = 4_096;

/// Which of Claude Code's feeds tells something.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feed {
    /// A transcript or stream.
    #[default]
    Records,
    /// Its hooks.
    Hooks,
}

/// Who speaks.
#[derive(Debug, Default, Clone)]
pub(super) struct Speaker {
    pub(super) feed: Feed,
    /// The tool call that this subagent works for.
    pub(super) parent: Option<String>,
    /// The subagent's own name.
    pub(super) subagent: Option<String>,
    /// Not said by a person or model, but put in by Claude Code.
    pub(super) is_meta: bool,
}

/// What the lines so far say about those to come.
#[derive(Debug, Default)]
pub(super) struct Messages {
    pub(super) calls: Calls,
    pub(super) usage: MessageUsage,
    files: Files,
    open: VecDeque<OpenMessage>,
    /// The session's task was told.
    has_task: bool,
    /// Calls by name in the source, to the name in events: for whom subagents work.
    names: HashMap<String, String>,
    twice: Twice<Feed, WAITING>,
    approvals: Approvals,
}

/// One message of several lines.
#[derive(Debug)]
struct OpenMessage {
    id: String,
    blocks: u32,
    /// Hashes of the blocks: a line that is written again does not say them again.
    seen: Vec<u64>,
}

impl Speaker {
    fn mark(&self, data: Data) -> Data {
        let data = data
            .some("parent", self.parent.clone())
            .some("subagent", self.subagent.clone());
        match self.is_meta {
            true => data.with("meta", true),
            false => data,
        }
    }
}

impl Messages {
    /// A line of type `assistant`; `name` names the message where it has no id.
    pub(super) fn assistant(
        &mut self,
        message: &Value,
        name: &str,
        speaker: &Speaker,
        folder: Option<&str>,
        out: &mut Output<'_>,
    ) {
        let id = some_text(message, "id").unwrap_or(name).to_owned();
        let model = some_text(message, "model").unwrap_or_default().to_owned();
        if !model.is_empty() && model != SYNTHETIC {
            out.model(&model);
        }
        out.keep_raw_if(has_others(message, MESSAGE));
        match &message["content"] {
            Value::String(content) => self.said(&id, "assistant", content, &model, speaker, out),
            Value::Array(blocks) => {
                for block in blocks {
                    self.assistant_block(block, &id, &model, speaker, folder, out);
                }
            }
            _ => out.keep_raw(),
        }
    }

    fn assistant_block(
        &mut self,
        block: &Value,
        id: &str,
        model: &str,
        speaker: &Speaker,
        folder: Option<&str>,
        out: &mut Output<'_>,
    ) {
        let kind = text(block, "type").unwrap_or_default();
        match kind {
            "text" => {
                out.keep_raw_if(has_others(block, &["type", "text"]));
                self.said(
                    id,
                    "assistant",
                    text(block, "text").unwrap_or_default(),
                    model,
                    speaker,
                    out,
                );
            }
            "thinking" => {
                let content = text(block, "thinking").unwrap_or_default();
                let signature = some_text(block, "signature");
                let block_name = format!("thinking {content} {}", signature.unwrap_or_default());
                let Some(index) = self.next_block(id, &block_name) else {
                    return;
                };
                out.keep_raw_if(has_others(block, &["type", "thinking", "signature"]));
                let metadata = Data::new()
                    .with("message", id)
                    .with("index", index)
                    .some("signature", signature);
                let data = Data::new()
                    .with("content", content)
                    .with("type", "reasoning")
                    .with("metadata", Value::Object(metadata.into_map()));
                out.event("thought", speaker.mark(data));
            }
            "tool_use" | "server_tool_use" | "mcp_tool_use" => {
                let call = some_text(block, "id").unwrap_or(id);
                if self.next_block(id, &format!("call {call}")).is_some() {
                    out.keep_raw_if(has_others(block, &["type", "id", "name", "input", "caller"]));
                    self.called(block, call, speaker, folder, out);
                }
            }
            // Results of tools that the model's provider runs stand in the model's own message.
            kind if kind.ends_with("_tool_result") => {
                if self.next_block(id, &block.to_string()).is_some() {
                    self.result(block, None, speaker, out);
                }
            }
            _ => {
                if self.next_block(id, &block.to_string()).is_some() {
                    out.custom(&format!("claude.{kind}"), block.clone());
                }
            }
        }
    }

    /// Counts the block; `None` if the message has it already.
    fn next_block(&mut self, id: &str, block: &str) -> Option<u32> {
        let hash = short_hash(block);
        if let Some(message) = self.open.iter_mut().find(|message| message.id == id) {
            if message.seen.contains(&hash) {
                return None;
            }
            message.seen.push(hash);
            message.blocks += 1;
            return Some(message.blocks - 1);
        }
        if self.open.len() >= MESSAGES {
            self.open.pop_front();
        }
        self.open.push_back(OpenMessage {
            id: id.to_owned(),
            blocks: 1,
            seen: vec![hash],
        });
        Some(0)
    }

    /// A text.
    pub(super) fn said(
        &mut self,
        id: &str,
        role: &str,
        content: &str,
        model: &str,
        speaker: &Speaker,
        out: &mut Output<'_>,
    ) {
        let Some(index) = self.next_block(id, &format!("{role} {content}")) else {
            return;
        };
        if !self.twice.is_new(speaker.feed, role, content) {
            out.is_merged();
            return;
        }
        let data = Data::new()
            .with("message", id)
            .with("index", index)
            .with("role", role)
            .with("content", content)
            .some("model", Some(model).filter(|model| !model.is_empty()));
        out.event("message.completed", speaker.mark(data));
        let is_asked =
            role == "user" && !speaker.is_meta && speaker.parent.is_none() && speaker.subagent.is_none();
        if is_asked && !self.has_task && is_prompt(content) {
            self.has_task = true;
            out.event("session.updated", Data::new().with("task", beginning(content)));
        }
    }

    /// A call, of the form `{name, input}`.
    pub(super) fn called(
        &mut self,
        block: &Value,
        id: &str,
        speaker: &Speaker,
        folder: Option<&str>,
        out: &mut Output<'_>,
    ) {
        if !self.twice.is_new(speaker.feed, "call", id) {
            out.is_merged();
            return;
        }
        let tool = some_text(block, "name").unwrap_or("unknown");
        let input = block.get("input").cloned().unwrap_or(Value::Null);
        let call = self.calls.start(id, tool, tools::kept_input(tool, &input));
        self.approvals.called(id, tool, &input);
        if call != id {
            self.names.insert(id.to_owned(), call.clone());
        }
        let mut speaker = speaker.clone();
        speaker.parent = speaker
            .parent
            .map(|parent| self.names.get(&parent).cloned().unwrap_or(parent));
        let data = Data::new()
            .with("call", call.as_str())
            .with("name", tool)
            .with("input", input.clone());
        out.event("tool.started", speaker.mark(data));
        tools::started(&call, tool, &input, folder, out);
    }

    /// A line of type `user`: what was asked, or results. `structured` is what Claude Code keeps of a result.
    pub(super) fn user(
        &mut self,
        message: &Value,
        name: &str,
        structured: Option<&Value>,
        speaker: &Speaker,
        out: &mut Output<'_>,
    ) {
        out.keep_raw_if(has_others(message, &["role", "content", "type"]));
        let role = some_text(message, "role").unwrap_or("user");
        let before = out.drafts.len();
        match &message["content"] {
            Value::String(content) => self.said(name, role, content, "", speaker, out),
            Value::Array(blocks) => {
                let results = blocks
                    .iter()
                    .filter(|block| block["type"] == "tool_result")
                    .count();
                for block in blocks {
                    match text(block, "type").unwrap_or_default() {
                        "text" => {
                            out.keep_raw_if(has_others(block, &["type", "text"]));
                            let content = text(block, "text").unwrap_or_default();
                            self.said(name, role, content, "", speaker, out);
                        }
                        "tool_result" => {
                            // With several results in a line it is not said whose it is.
                            let structured = structured.filter(|_| results == 1);
                            self.result(block, structured, speaker, out);
                        }
                        kind => out.custom(&format!("claude.{kind}"), block.clone()),
                    }
                }
                out.keep_raw_if(results != 1 && structured.is_some_and(|value| !value.is_null()));
            }
            _ => {}
        }
        if out.drafts.len() == before && !out.said.is_merged {
            out.custom("claude.user", message.clone());
        }
    }

    fn result(&mut self, block: &Value, structured: Option<&Value>, speaker: &Speaker, out: &mut Output<'_>) {
        let known = ["type", "tool_use_id", "content", "is_error", "cache_control"];
        out.keep_raw_if(has_others(block, &known));
        let id = some_text(block, "tool_use_id").unwrap_or("unknown");
        let content = block.get("content").cloned().unwrap_or(Value::Null);
        let text = text_of(&content);
        let result = ToolResult {
            text: &text,
            is_error: block["is_error"] == true,
            structured,
            duration_ms: structured.and_then(duration_ms),
        };
        self.finished(id, &content, &result, speaker, out);
    }

    /// A call has its result. `content` is what the model gets of it.
    pub(super) fn finished(
        &mut self,
        id: &str,
        content: &Value,
        result: &ToolResult<'_>,
        speaker: &Speaker,
        out: &mut Output<'_>,
    ) {
        if !self.twice.is_new(speaker.feed, "result", id) {
            out.is_merged();
            return;
        }
        self.approvals.finished(id, result, out);
        let open = self.calls.finish(id);
        let call = open.as_ref().map_or(id, |open| open.call.as_str());
        let place = out.drafts.len();
        let data = Data::new()
            .with("call", call)
            .with("status", if result.is_error { "error" } else { "ok" })
            .with(
                "output",
                if only_text(content) {
                    result.text.into()
                } else {
                    content.clone()
                },
            )
            .some("duration_ms", result.duration_ms.clone())
            .some("name", open.as_ref().map(|open| open.tool.as_str()));
        out.event("tool.finished", speaker.mark(data));
        let untold = match &open {
            Some(open) => tools::finished(open, result, &mut self.files, out),
            None => tools::untold(result, &[]),
        };
        if let (Some(untold), Some(draft)) = (untold, out.drafts.get_mut(place)) {
            draft.data.insert("result".to_owned(), untold);
        }
    }

    /// Whether the call waits for its result.
    pub(super) fn is_open(&self, id: &str) -> bool {
        self.calls.open(id).is_some()
    }

    /// Whether nobody told the call's result yet.
    pub(super) fn is_new_result(&self, id: &str) -> bool {
        !self.twice.is_told("result", id)
    }

    /// What is being asked of whoever is at the terminal.
    pub(super) fn approvals(&mut self) -> &mut Approvals {
        &mut self.approvals
    }

    /// The message's use, where the line has it in its final form.
    pub(super) fn usage(&mut self, message: &Value, cost_usd: Option<f64>, out: &mut Output<'_>) {
        let (Some(id), Some(model)) = (some_text(message, "id"), some_text(message, "model")) else {
            return;
        };
        if !message["usage"].is_object() {
            return;
        }
        if message["stop_reason"].is_string() {
            let mut used = amounts(&message["usage"]);
            used.cost_usd = cost_usd;
            self.usage.settle(id, model, used, out);
        } else if let Some(first) = out.drafts.first_mut() {
            // Not final: at least this much, which is in no sum.
            first
                .data
                .entry("usage_so_far")
                .or_insert_with(|| message["usage"].clone());
        }
    }
}

/// Whether a person said it: what Claude Code puts in begins with a tag.
fn is_prompt(content: &str) -> bool {
    !content.trim().is_empty() && !content.trim_start().starts_with('<')
}

/// The text of a result: itself, or that of its text blocks.
pub(super) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts: Vec<&str> = blocks.iter().filter_map(|block| text(block, "text")).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

/// Whether the text is all that the result says.
fn only_text(content: &Value) -> bool {
    match content {
        Value::String(_) | Value::Null => true,
        Value::Array(blocks) => {
            blocks.len() == 1
                && blocks
                    .iter()
                    .all(|block| !has_others(block, &["type", "text"]) && block["text"].is_string())
        }
        _ => false,
    }
}

/// How long a call took, where that is told.
pub(super) fn duration_ms(structured: &Value) -> Option<Value> {
    let told = ["durationMs", "totalDurationMs", "duration_ms"];
    told.iter()
        .find_map(|name| structured.get(name))
        .filter(|value| value.as_f64().is_some_and(|number| (0.0..9e15).contains(&number)))
        .cloned()
}
