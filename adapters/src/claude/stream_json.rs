//! What `claude -p --output-format stream-json` prints: complete messages, with `--include-partial-messages` also
//! their pieces, and one `result` per turn.
//!
//! Only `result.modelUsage` tells all that was used, as totals of the process: what came on top of the result before is
//! said, for the turn. Pieces and lines that are final say the use of single calls besides, which readers do not add.

use std::collections::BTreeMap;

use serde_json::Value;

use super::messages::{Feed, Messages, Speaker};
use super::tokens::amounts;
use crate::adapter::{Adapter, Identity, Output};
use crate::fields::{Data, count, has_others, some_text, text, time, without};
use crate::report::Tokens;
use crate::usage::Amounts;

/// Members that say where a line belongs, not what happened.
const ENVELOPE: &[&str] = &["type", "uuid", "session_id", "timestamp", "parent_tool_use_id"];
/// The same, with what messages hold besides.
const MESSAGE_LINE: &[&str] = &[
    "message",
    "tool_use_result",
    "error",
    "request_id",
    "isSynthetic",
    "isReplay",
    "subagent_type",
    "task_description",
    "user_message_uuid",
    "user_message_uuids",
];

/// The adapter.
#[derive(Debug, Default)]
pub(crate) struct StreamJson {
    messages: Messages,
    folder: Option<String>,
    model: Option<String>,
    /// The message that is being streamed: its id, and what it uses.
    streaming: Option<(String, String, Amounts)>,
    deltas: u64,
    /// Running totals at the last result, by model.
    totals: BTreeMap<String, Amounts>,
    /// Dollars at the last result.
    cost: Amounts,
}

impl Adapter for StreamJson {
    fn identity<'r>(&self, record: &'r Value) -> Identity<'r> {
        Identity::by(record, "uuid")
    }

    fn read(&mut self, record: &Value, out: &mut Output<'_>) {
        if let Some(session) = some_text(record, "session_id") {
            out.session(session);
        }
        out.time(time(record, "timestamp"));
        let kind = text(record, "type").unwrap_or_default();
        let speaker = Speaker {
            feed: Feed::Records,
            parent: some_text(record, "parent_tool_use_id").map(str::to_owned),
            subagent: some_text(record, "subagent_type").map(str::to_owned),
            is_meta: record["isSynthetic"] == true,
        };
        let name =
            some_text(record, "uuid").map_or_else(|| format!("line {}", out.line_number()), str::to_owned);
        match kind {
            "system" => self.system(record, out),
            "assistant" => {
                keep_what_is_left(record, out);
                let message = &record["message"];
                self.messages
                    .assistant(message, &name, &speaker, self.folder.as_deref(), out);
                self.messages.usage(message, None, out);
                if let Some(code) = some_text(record, "error") {
                    let said = message["content"][0]["text"].as_str().unwrap_or(code);
                    out.event("error", Data::new().with("message", said).with("code", code));
                }
            }
            "user" => {
                keep_what_is_left(record, out);
                let structured = record.get("tool_use_result");
                self.messages
                    .user(&record["message"], &name, structured, &speaker, out);
            }
            "result" => self.result(record, out),
            "stream_event" => self.stream_event(&record["event"], &speaker, out),
            "rate_limit_event" => {
                let info = &record["rate_limit_info"];
                out.keep_raw();
                out.event(
                    "status.changed",
                    Data::new()
                        .with("status", "rate_limit")
                        .some("detail", some_text(info, "status")),
                );
            }
            "conversation_reset" => {
                self.totals.clear();
                self.cost = Amounts::default();
                out.custom("claude.conversation_reset", without(record, ENVELOPE));
            }
            "control_request" if record["request"]["subtype"] == "can_use_tool" => permission(record, out),
            "tool_progress"
            | "control_request"
            | "control_response"
            | "control_cancel_request"
            | "keep_alive"
            | "auth_status"
            | "tool_use_summary"
            | "prompt_suggestion"
            | "transcript_mirror" => {
                out.custom(&format!("claude.{kind}"), without(record, ENVELOPE));
            }
            kind => out.unknown(&format!("claude.{kind}"), without(record, ENVELOPE)),
        }
    }
}

impl StreamJson {
    fn system(&mut self, record: &Value, out: &mut Output<'_>) {
        let subtype = text(record, "subtype").unwrap_or_default();
        match subtype {
            "init" => {
                self.folder = some_text(record, "cwd").map(str::to_owned);
                self.model = some_text(record, "model").map(str::to_owned);
                if let Some(folder) = &self.folder {
                    out.folder(folder);
                }
                let told = ["cwd", "model", "claude_code_version", "permissionMode"];
                out.keep_raw_if(has_others(record, &[ENVELOPE, &["subtype"], &told].concat()));
                let data = Data::new()
                    .some("cwd", self.folder.as_deref())
                    .some("model", self.model.as_deref())
                    .some("version", some_text(record, "claude_code_version"))
                    .some("permission_mode", some_text(record, "permissionMode"));
                out.event("session.started", data);
            }
            "compact_boundary" | "status" | "task_started" | "task_progress" | "task_notification"
            | "task_updated" | "api_retry" => {
                out.keep_raw();
                let status = match subtype {
                    "status" => some_text(record, "status").unwrap_or("idle"),
                    subtype => subtype,
                };
                let detail = ["summary", "description", "error"]
                    .iter()
                    .find_map(|name| some_text(record, name))
                    .or_else(|| some_text(&record["patch"], "status"));
                out.event(
                    "status.changed",
                    Data::new()
                        .with("status", status)
                        .some("detail", detail)
                        .some("task", some_text(record, "task_id"))
                        .some("call", some_text(record, "tool_use_id")),
                );
            }
            "hook_started"
            | "hook_progress"
            | "hook_response"
            | "plugin_install"
            | "files_persisted"
            | "thinking_tokens"
            | "post_turn_summary"
            | "notification"
            | "mirror_error"
            | "session_state_changed"
            | "local_command_output"
            | "elicitation_complete" => {
                out.custom(&format!("claude.system.{subtype}"), without(record, ENVELOPE));
            }
            _ => out.unknown(&format!("claude.system.{subtype}"), without(record, ENVELOPE)),
        }
    }

    fn stream_event(&mut self, event: &Value, speaker: &Speaker, out: &mut Output<'_>) {
        match text(event, "type").unwrap_or_default() {
            "message_start" => {
                let message = &event["message"];
                let id = some_text(message, "id").unwrap_or("unnamed").to_owned();
                let model = some_text(message, "model").unwrap_or_default().to_owned();
                self.streaming = Some((id, model, amounts(&message["usage"])));
            }
            "content_block_delta" => self.delta(event, speaker, out),
            "message_delta" => {
                let Some((id, model, begun)) = self.streaming.clone() else {
                    return out.custom("claude.stream_event", event.clone());
                };
                // The last word on this message; what it leaves out stands as it began.
                let now = amounts(&event["usage"]);
                let (now, then) = (now.tokens, begun.tokens);
                let used = Amounts {
                    tokens: Tokens {
                        input: now.input.or(then.input),
                        output: now.output,
                        cache_read: now.cache_read.or(then.cache_read),
                        cache_creation: now.cache_creation.or(then.cache_creation),
                    },
                    cost_usd: None,
                };
                if used.tokens.output.is_some() {
                    self.messages.usage.settle(&id, &model, used, out);
                }
            }
            // All that these say, the complete message says again.
            "content_block_start" | "content_block_stop" | "ping" => {}
            "message_stop" => self.streaming = None,
            "error" => {
                out.keep_raw();
                let said = some_text(&event["error"], "message").unwrap_or("the stream broke off");
                out.event(
                    "error",
                    Data::new()
                        .with("message", said)
                        .some("code", some_text(&event["error"], "type")),
                );
            }
            kind => out.unknown(&format!("claude.stream_event.{kind}"), event.clone()),
        }
    }

    fn delta(&mut self, event: &Value, speaker: &Speaker, out: &mut Output<'_>) {
        let delta = &event["delta"];
        let (channel, said) = match text(delta, "type").unwrap_or_default() {
            "text_delta" => ("text", text(delta, "text")),
            "thinking_delta" => ("thinking", text(delta, "thinking")),
            "signature_delta" | "input_json_delta" => return,
            _ => return out.custom("claude.stream_event", event.clone()),
        };
        let message = self
            .streaming
            .as_ref()
            .map_or("unnamed", |(id, _, _)| id.as_str());
        self.deltas += 1;
        let data = Data::new()
            .with("message", message)
            .with("index", self.deltas)
            .with("text", said.unwrap_or_default())
            .with("role", "assistant")
            .with("channel", channel)
            .some("block", count(event, "index"))
            .some("parent", speaker.parent.clone());
        out.event("message.delta", data);
    }

    fn result(&mut self, record: &Value, out: &mut Output<'_>) {
        out.keep_raw();
        let subtype = text(record, "subtype").unwrap_or_default();
        let errors: Vec<&str> = record["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        // `is_error` is false on some errors: the subtype tells.
        let failed = subtype.starts_with("error") || record["is_error"] == true;
        let said = some_text(record, "result");
        out.event(
            "status.changed",
            Data::new()
                .with("status", if failed { "failed" } else { "completed" })
                .some("detail", said)
                .with("reason", subtype)
                .some(
                    "duration_ms",
                    record
                        .get("duration_ms")
                        .filter(|value| value.is_number())
                        .cloned(),
                )
                .some("turns", count(record, "num_turns")),
        );
        if failed {
            let message = match errors.is_empty() {
                true => said.unwrap_or(subtype).to_owned(),
                false => errors.join("\n"),
            };
            out.event(
                "error",
                Data::new().with("message", message).with("code", subtype),
            );
        }
        out.ends(if failed { "failed" } else { "completed" });
        self.used(record, out);
    }

    fn used(&mut self, record: &Value, out: &mut Output<'_>) {
        let total = Amounts {
            cost_usd: record["total_cost_usd"].as_f64(),
            ..Amounts::default()
        };
        let models = record["modelUsage"]
            .as_object()
            .filter(|models| !models.is_empty());
        if let Some(models) = models {
            let now: BTreeMap<String, Amounts> = models
                .iter()
                .map(|(model, usage)| (model.clone(), model_amounts(usage)))
                .collect();
            for (model, now) in &now {
                out.model(model);
                let more = now.since(self.totals.get(model).copied().unwrap_or_default());
                if !more.is_nothing() || !self.totals.contains_key(model) {
                    out.event("usage", more.data(model, "turn"));
                }
            }
            self.totals.extend(now);
        } else {
            // Old versions tell the turn of the main loop, and the dollars of the process.
            let mut used = amounts(&record["usage"]);
            used.cost_usd = total.cost_usd.map(|now| {
                let before = self.cost.cost_usd.unwrap_or(0.0);
                if now < before { now } else { now - before }
            });
            if used != Amounts::default() && !used.is_nothing() {
                let model = self.model.clone().unwrap_or_else(|| "unknown".to_owned());
                out.event("usage", used.data(&model, "turn"));
            }
        }
        if total.cost_usd.is_some() {
            self.cost = total;
        }
    }
}

fn keep_what_is_left(record: &Value, out: &mut Output<'_>) {
    let known = [ENVELOPE, MESSAGE_LINE].concat();
    out.keep_raw_if(has_others(record, &known));
}

fn model_amounts(usage: &Value) -> Amounts {
    Amounts {
        tokens: Tokens {
            input: count(usage, "inputTokens"),
            output: count(usage, "outputTokens"),
            cache_read: count(usage, "cacheReadInputTokens"),
            cache_creation: count(usage, "cacheCreationInputTokens"),
        },
        cost_usd: usage["costUSD"].as_f64(),
    }
}

/// Claude Code asks whoever runs it whether a tool may be used.
fn permission(record: &Value, out: &mut Output<'_>) {
    let request = &record["request"];
    let tool = some_text(request, "tool_name").unwrap_or("a tool");
    let name = some_text(record, "request_id").unwrap_or("unnamed");
    out.keep_raw();
    out.event(
        "approval.requested",
        Data::new()
            .with("approval", name)
            .with("title", format!("use {tool}"))
            .with("detail", request["input"].to_string())
            .some("call", some_text(request, "tool_use_id")),
    );
}
