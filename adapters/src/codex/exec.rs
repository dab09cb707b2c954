//! What `codex exec --json` prints: threads, turns and items. It tells neither times nor the model.

use serde_json::{Value, json};

use super::{amounts, patch, shell};
use crate::adapter::{Adapter, Identity, Output};
use crate::calls::Calls;
use crate::fields::{Data, count, has_others, some_text, text, without};
use crate::usage::Amounts;

/// The stream does not say which model is at work.
const MODEL: &str = "unknown";

/// The adapter.
#[derive(Debug, Default)]
pub(crate) struct Exec {
    calls: Calls,
    /// Running total at the last turn's end.
    used: Amounts,
    /// What was printed so far by the command that runs: (item, bytes).
    printed: Option<(String, usize)>,
}

impl Adapter for Exec {
    fn identity<'r>(&self, _: &'r Value) -> Identity<'r> {
        Identity::Line
    }

    fn read(&mut self, record: &Value, out: &mut Output<'_>) {
        let kind = text(record, "type").unwrap_or_default();
        match kind {
            "thread.started" => {
                if let Some(thread) = some_text(record, "thread_id") {
                    out.session(thread);
                }
                out.model(MODEL);
                out.keep_raw_if(has_others(record, &["type", "thread_id"]));
                let thread = some_text(record, "thread_id");
                out.event("session.started", Data::new().some("thread", thread));
            }
            "turn.started" => {
                out.keep_raw_if(has_others(record, &["type"]));
                out.event("status.changed", Data::new().with("status", "working"));
            }
            "turn.completed" => {
                let usage = &record["usage"];
                let known = ["input_tokens", "cached_input_tokens", "output_tokens"];
                out.keep_raw_if(has_others(record, &["type", "usage"]) || has_others(usage, &known));
                // A total of the thread so far.
                let now = amounts(usage);
                if now != Amounts::default() {
                    out.event("usage", now.since(self.used).data(MODEL, "turn"));
                    self.used = now;
                }
                out.event("status.changed", Data::new().with("status", "completed"));
                out.ends("completed");
            }
            "turn.failed" => {
                error(&record["error"], "turn_failed", out);
                out.event("status.changed", Data::new().with("status", "failed"));
                out.ends("failed");
            }
            "error" => {
                error(record, "error", out);
                out.ends("failed");
            }
            "item.started" | "item.updated" | "item.completed" => self.item(kind, &record["item"], out),
            kind => out.unknown(&format!("codex.{kind}"), record.clone()),
        }
    }
}

impl Exec {
    fn item(&mut self, phase: &str, item: &Value, out: &mut Output<'_>) {
        let id = some_text(item, "id").unwrap_or("unnamed");
        // Before its type was renamed it stood in `item_type`.
        let kind = text(item, "type").or(text(item, "item_type")).unwrap_or_default();
        let is_completed = phase == "item.completed";
        match kind {
            "agent_message" | "assistant_message" if is_completed => {
                out.keep_raw_if(has_others(item, &["id", "type", "item_type", "text"]));
                let content = text(item, "text").unwrap_or_default();
                out.event(
                    "message.completed",
                    Data::new()
                        .with("message", id)
                        .with("role", "assistant")
                        .with("content", content),
                );
            }
            "reasoning" if is_completed => {
                out.keep_raw_if(has_others(item, &["id", "type", "item_type", "text"]));
                out.event(
                    "thought",
                    Data::new()
                        .with("content", text(item, "text").unwrap_or_default())
                        .with("type", "reasoning"),
                );
            }
            "todo_list" => todo_list(item, out),
            "error" if is_completed => error(item, "error", out),
            "command_execution" | "file_change" | "mcp_tool_call" | "web_search" | "collab_tool_call" => {
                if self.calls.open(id).is_none() {
                    self.started(kind, id, item, out);
                }
                if kind == "command_execution" {
                    self.printed(id, item, out);
                }
                if is_completed {
                    self.finished(kind, id, item, out);
                }
                if out.drafts.is_empty() {
                    out.custom(&format!("codex.{phase}"), item.clone());
                }
            }
            "agent_message" | "assistant_message" | "reasoning" | "error" => {
                out.custom(&format!("codex.{phase}"), item.clone());
            }
            kind => out.unknown(&format!("codex.{kind}"), json!({"phase": phase, "item": item})),
        }
    }

    fn started(&mut self, kind: &str, id: &str, item: &Value, out: &mut Output<'_>) {
        let (name, input) = match kind {
            "mcp_tool_call" => {
                let server = text(item, "server").unwrap_or_default();
                let tool = text(item, "tool").unwrap_or_default();
                (format!("{server}.{tool}"), item["arguments"].clone())
            }
            "command_execution" => (kind.to_owned(), json!({"command": item["command"]})),
            "web_search" => (kind.to_owned(), json!({"query": item["query"]})),
            "file_change" => (kind.to_owned(), json!({"changes": item["changes"]})),
            _ => (kind.to_owned(), without(item, &["id", "type", "status"])),
        };
        let call = self.calls.start(id, kind, Value::Null);
        out.event(
            "tool.started",
            Data::new()
                .with("call", call.as_str())
                .with("name", name)
                .with("input", input),
        );
        if let Some(command) = text(item, "command").filter(|_| kind == "command_execution") {
            let shell = json!({"command": shell_words(command)});
            let command = shell::command_of("shell", &shell).unwrap_or_else(|| command.to_owned());
            out.event(
                "terminal.command",
                Data::new().with("command", command).with("call", call),
            );
        }
    }

    /// Says what the command has printed since the last time.
    fn printed(&mut self, id: &str, item: &Value, out: &mut Output<'_>) {
        let all = text(item, "aggregated_output").unwrap_or_default();
        let before = self
            .printed
            .as_ref()
            .filter(|(of, _)| of == id)
            .map_or(0, |(_, bytes)| *bytes);
        let more = all.get(before..).unwrap_or(all);
        if let Some(call) = self.calls.open(id).filter(|_| !more.is_empty()) {
            out.event(
                "terminal.output",
                Data::new()
                    .with("text", more)
                    .with("stream", "stdout")
                    .with("call", call.call.as_str()),
            );
        }
        self.printed = Some((id.to_owned(), all.len()));
    }

    fn finished(&mut self, kind: &str, id: &str, item: &Value, out: &mut Output<'_>) {
        let Some(open) = self.calls.finish(id) else {
            return;
        };
        self.printed = None;
        let call = open.call.as_str();
        let code = item["exit_code"].as_i64();
        let status = text(item, "status").unwrap_or_default();
        let has_failed = matches!(status, "failed" | "declined")
            || code.is_some_and(|code| code != 0)
            || item["error"].is_object();
        let output = match kind {
            "command_execution" => item["aggregated_output"].clone(),
            "file_change" => status.into(),
            "mcp_tool_call" if item["error"].is_object() => item["error"].clone(),
            "mcp_tool_call" => item["result"].clone(),
            _ => without(item, &["id", "type", "status"]),
        };
        let known = [
            "id",
            "type",
            "item_type",
            "command",
            "aggregated_output",
            "exit_code",
            "status",
            "changes",
            "server",
            "tool",
            "arguments",
            "result",
            "error",
            "query",
        ];
        out.keep_raw_if(
            has_others(item, &known) && matches!(kind, "command_execution" | "file_change" | "mcp_tool_call"),
        );
        out.event(
            "tool.finished",
            Data::new()
                .with("call", call)
                .with("status", if has_failed { "error" } else { "ok" })
                .with("output", output)
                .some("duration_ms", count(item, "duration_ms")),
        );
        match kind {
            "command_execution" => {
                let code = code.unwrap_or(i64::from(has_failed));
                out.event(
                    "terminal.exited",
                    Data::new().with("code", code).with("call", call),
                );
            }
            "file_change" if !has_failed => {
                for change in item["changes"].as_array().into_iter().flatten() {
                    let kind = text(change, "kind").unwrap_or("update");
                    out.event(
                        "code.changed",
                        Data::new()
                            .with("path", text(change, "path").unwrap_or_default())
                            .with("action", patch::action_of(kind, false))
                            .some("patch", some_text(change, "diff"))
                            .with("call", call),
                    );
                }
            }
            _ => {}
        }
    }
}

/// `bash -lc 'script'` as its three words, anything else as it is.
fn shell_words(command: &str) -> Value {
    let mut words = command.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some(shell), Some(flag @ ("-lc" | "-c")), Some(script)) => {
            let inner = script
                .strip_prefix('\'')
                .and_then(|script| script.strip_suffix('\''))
                .filter(|script| !script.contains('\''))
                .or_else(|| {
                    let inner = script.strip_prefix('"')?.strip_suffix('"')?;
                    (!inner.contains(['"', '\\', '$', '`'])).then_some(inner)
                });
            json!([shell, flag, inner.unwrap_or(script)])
        }
        _ => command.into(),
    }
}

fn todo_list(item: &Value, out: &mut Output<'_>) {
    let items = item["items"].as_array().map_or(&[][..], Vec::as_slice);
    let is_done = |step: &&Value| step["completed"] == true;
    let done = items.iter().filter(is_done).count();
    let plan: Vec<Value> = items
        .iter()
        .map(|step| {
            let state = if is_done(&step) { "completed" } else { "pending" };
            json!({"text": text(step, "text").unwrap_or_default(), "state": state})
        })
        .collect();
    out.keep_raw_if(has_others(item, &["id", "type", "item_type", "items"]));
    out.event(
        "progress",
        Data::new()
            .with("done", done)
            .with("total", plan.len())
            .with("plan", plan),
    );
}

fn error(error: &Value, code: &str, out: &mut Output<'_>) {
    out.keep_raw_if(has_others(error, &["type", "id", "message"]));
    let message = some_text(error, "message")
        .or(error.as_str())
        .unwrap_or("unknown error");
    out.event("error", Data::new().with("message", message).with("code", code));
}
