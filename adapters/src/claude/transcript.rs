//! Claude Code's transcripts: `~/.claude/projects/<folder>/<session>.jsonl`, and those of subagents beside or below it.
//!
//! An internal format of many versions. Order is that of the lines: times may run backwards. A subagent's file holds
//! its main session's id, and its events belong to that session, marked with `subagent`.

use serde_json::Value;

use super::hooks;
use super::messages::{Feed, Messages, Speaker};
use crate::adapter::{Adapter, Identity, Output};
use crate::fields::{Data, has_others, some_text, text, time, without};

/// Members that say where a line belongs, not what happened.
const ENVELOPE: &[&str] = &[
    "type",
    "uuid",
    "parentUuid",
    "logicalParentUuid",
    "sessionId",
    "session_id",
    "timestamp",
    "isSidechain",
    "userType",
    "entrypoint",
    "cwd",
    "version",
    "gitBranch",
    "slug",
    "agentId",
    "requestId",
    "isMeta",
    "teamName",
    "agentName",
    "promptId",
    "sourceToolAssistantUUID",
    "sourceToolUseID",
];
/// The same, with what messages hold besides.
const MESSAGE_LINE: &[&str] = &[
    "message",
    "toolUseResult",
    "costUSD",
    "isApiErrorMessage",
    "error",
    "isCompactSummary",
    "isVisibleInTranscriptOnly",
    "permissionMode",
];
/// Types that are kept as they are, and known not to say more.
const KEPT: &[&str] = &[
    "attachment",
    "queue-operation",
    "file-history-snapshot",
    "last-prompt",
    "permission-mode",
    "progress",
    "mode",
    "agent-name",
    "agent-color",
    "agent-setting",
    "pr-link",
    "tag",
    "task-summary",
    "content-replacement",
    "worktree-state",
    "system",
];

/// The adapter. It takes what hooks tell of the same session between the lines.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    messages: Messages,
    branch: Option<String>,
    /// A line of a transcript was read.
    has_lines: bool,
}

impl Adapter for Transcript {
    fn identity<'r>(&self, record: &'r Value) -> Identity<'r> {
        match hooks::is_hook(record) {
            true => hooks::identity(record),
            false => Identity::by(record, "uuid"),
        }
    }

    fn read(&mut self, record: &Value, out: &mut Output<'_>) {
        if hooks::is_hook(record) {
            return hooks::read(record, &mut self.messages, !self.has_lines, out);
        }
        self.has_lines = true;
        let kind = text(record, "type").unwrap_or_default();
        self.place(record, out);
        let speaker = Speaker {
            feed: Feed::Records,
            parent: None,
            subagent: some_text(record, "agentId").map(str::to_owned),
            is_meta: record["isMeta"] == true || record["isCompactSummary"] == true,
        };
        let name =
            some_text(record, "uuid").map_or_else(|| format!("line {}", out.line_number()), str::to_owned);
        match kind {
            "assistant" => self.assistant(record, &name, &speaker, out),
            "user" => {
                keep_what_is_left(record, out);
                self.messages.user(
                    &record["message"],
                    &name,
                    record.get("toolUseResult"),
                    &speaker,
                    out,
                );
            }
            "summary" | "ai-title" | "custom-title" => title(kind, record, out),
            "system" => system(record, out),
            kind if KEPT.contains(&kind) => out.custom(&format!("claude.{kind}"), without(record, ENVELOPE)),
            kind => out.unknown(&format!("claude.{kind}"), without(record, ENVELOPE)),
        }
    }
}

impl Transcript {
    /// Where the line belongs.
    fn place(&mut self, record: &Value, out: &mut Output<'_>) {
        if let Some(session) = some_text(record, "sessionId") {
            out.session(session);
        }
        out.time(time(record, "timestamp").or_else(|| time(&record["snapshot"], "timestamp")));
        out.cause(some_text(record, "parentUuid"));
        if let Some(folder) = some_text(record, "cwd") {
            out.folder(folder);
            out.about("cwd", folder);
        }
        if let Some(version) = some_text(record, "version") {
            out.about("version", version);
        }
        if let Some(branch) = some_text(record, "gitBranch") {
            out.about("git_branch", branch);
            let before = self.branch.replace(branch.to_owned());
            if before.is_some_and(|before| before != branch) {
                out.event("session.updated", Data::new().with("git_branch", branch));
            }
        }
        if record["agentId"].is_string() && record["isSidechain"] == true {
            out.is_within_session();
        }
    }

    fn assistant(&mut self, record: &Value, name: &str, speaker: &Speaker, out: &mut Output<'_>) {
        keep_what_is_left(record, out);
        let message = &record["message"];
        self.messages
            .assistant(message, name, speaker, some_text(record, "cwd"), out);
        self.messages.usage(message, record["costUSD"].as_f64(), out);
        if record["isApiErrorMessage"] == true {
            let said = message["content"][0]["text"].as_str();
            out.event(
                "error",
                Data::new()
                    .with("message", said.unwrap_or("the API answered with an error"))
                    .some("code", some_text(record, "error")),
            );
        }
    }
}

fn keep_what_is_left(record: &Value, out: &mut Output<'_>) {
    let known = [ENVELOPE, MESSAGE_LINE].concat();
    out.keep_raw_if(has_others(record, &known));
}

fn title(kind: &str, record: &Value, out: &mut Output<'_>) {
    let names = ["summary", "aiTitle", "customTitle", "title"];
    match names.iter().find_map(|name| some_text(record, name)) {
        Some(title) => {
            let known = [ENVELOPE, names.as_slice(), &["leafUuid"]].concat();
            out.keep_raw_if(has_others(record, &known));
            out.event("session.updated", Data::new().with("title", title));
        }
        None => out.custom(&format!("claude.{kind}"), without(record, ENVELOPE)),
    }
}

fn system(record: &Value, out: &mut Output<'_>) {
    let subtype = text(record, "subtype").unwrap_or_default();
    let content = some_text(record, "content");
    match subtype {
        "compact_boundary" | "microcompact_boundary" => {
            let known = [ENVELOPE, &["subtype", "content", "level", "compactMetadata"]].concat();
            out.keep_raw_if(has_others(record, &known));
            let metadata = record.get("compactMetadata").filter(|value| value.is_object());
            out.event(
                "status.changed",
                Data::new()
                    .with("status", subtype)
                    .some("detail", content)
                    .some("metadata", metadata.cloned()),
            );
        }
        "api_error" => {
            out.keep_raw();
            let error = &record["error"];
            let said = some_text(&error["error"]["error"], "message")
                .or(some_text(error, "message"))
                .or(content)
                .or(error.as_str());
            out.event(
                "error",
                Data::new()
                    .with("message", said.unwrap_or("the API answered with an error"))
                    .with("code", "api_error")
                    .with("fatal", false),
            );
        }
        _ => out.custom(&format!("claude.system.{subtype}"), without(record, ENVELOPE)),
    }
}
