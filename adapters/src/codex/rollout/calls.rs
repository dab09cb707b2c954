//! Tool calls of a rollout: commands, patches, the plan, and what came out of them.

use serde_json::{Value, json};

use super::Rollout;
use crate::adapter::Output;
use crate::codex::patch;
use crate::codex::shell::{self, Outcome};
use crate::fields::{Data, has_others, some_text, text};

impl Rollout {
    pub(super) fn called(&mut self, item: &Value, input: Value, out: &mut Output<'_>) {
        let id = some_text(item, "call_id")
            .or(some_text(item, "id"))
            .unwrap_or("unknown");
        let kind = text(item, "type").unwrap_or_default();
        let tool = some_text(item, "name").unwrap_or(kind);
        let command = shell::command_of(tool, &input);
        let patch = [
            command.as_deref(),
            input.as_str(),
            text(&input, "input"),
            text(&input, "patch"),
        ]
        .into_iter()
        .flatten()
        .find(|text| patch::holds_patch(text));
        let kept = json!({"patch": patch, "runs": command.is_some()});
        let call = self.calls.start(id, tool, kept);
        out.event(
            "tool.started",
            Data::new()
                .with("call", call.as_str())
                .with("name", tool)
                .with("input", input.clone()),
        );
        if let Some(command) = command {
            let folder = some_text(&input, "workdir").or(self.folder.as_deref());
            out.event(
                "terminal.command",
                Data::new()
                    .with("command", command)
                    .some("cwd", folder)
                    .with("call", call.as_str()),
            );
        }
        if tool == "update_plan" {
            plan(&input, out);
        }
    }

    pub(super) fn result(&mut self, item: &Value, out: &mut Output<'_>) {
        let id = some_text(item, "call_id").unwrap_or("unknown");
        let outcome = shell::outcome(&item["output"]);
        let open = self.calls.finish(id);
        let call = open.as_ref().map_or(id, |open| open.call.as_str());
        out.event(
            "tool.finished",
            Data::new()
                .with("call", call)
                .with("status", if outcome.failed { "error" } else { "ok" })
                .with("output", item["output"].clone())
                .some("duration_ms", outcome.duration_ms),
        );
        let Some(open) = &open else {
            return;
        };
        if open.input["runs"] == true {
            printed(&outcome, call, out);
        }
        let is_told = self.patched.iter().any(|known| known == call);
        if let (false, false, Some(patch)) = (is_told, outcome.failed, text(&open.input, "patch")) {
            patch::changes_of(patch, call, out);
        }
        self.patched.retain(|known| known != call);
    }

    pub(super) fn patched(&mut self, event: &Value, out: &mut Output<'_>) {
        let id = some_text(event, "call_id").unwrap_or("unknown");
        let call = self
            .calls
            .open(id)
            .map_or_else(|| id.to_owned(), |open| open.call.clone());
        let before = out.drafts.len();
        if event["success"] != false {
            patch::changes_told(&event["changes"], &call, out);
        }
        let known = [
            "type", "call_id", "turn_id", "success", "changes", "status", "stdout", "stderr",
        ];
        match out.drafts.len() > before {
            true => {
                out.keep_raw_if(has_others(event, &known));
                self.patched.push(call);
                if self.patched.len() > 64 {
                    self.patched.remove(0);
                }
            }
            false => out.custom("codex.patch_apply_end", event.clone()),
        }
    }
}

fn printed(outcome: &Outcome, call: &str, out: &mut Output<'_>) {
    if !outcome.text.is_empty() {
        out.event(
            "terminal.output",
            Data::new()
                .with("text", outcome.text.as_str())
                .with("stream", "stdout")
                .with("call", call),
        );
    }
    if let Some(code) = outcome.exit_code.or(outcome.failed.then_some(1)) {
        out.event(
            "terminal.exited",
            Data::new().with("code", code).with("call", call),
        );
    }
}

fn plan(input: &Value, out: &mut Output<'_>) {
    let steps = input["plan"].as_array().map_or(&[][..], Vec::as_slice);
    if steps.is_empty() {
        return;
    }
    let state = |step: &Value| text(step, "status").unwrap_or("pending").to_owned();
    let done = steps.iter().filter(|step| state(step) == "completed").count();
    let plan: Vec<Value> = steps
        .iter()
        .map(|step| json!({"text": text(step, "step").unwrap_or_default(), "state": state(step)}))
        .collect();
    out.event(
        "progress",
        Data::new()
            .some("title", some_text(input, "explanation"))
            .with("done", done)
            .with("total", plan.len())
            .with("plan", plan),
    );
}
