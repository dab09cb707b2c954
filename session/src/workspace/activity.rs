//! What an agent is at: status, plan and progress, tools that run, previews, approvals it waits for, errors.

use serde::{Deserialize, Serialize};

use super::conversation::short;
use super::event::FoldEvent;
use super::fields::Fields;
use super::window::{Cost, Window, beginning, json_length};

const TOOLS_BYTES: usize = 16_000;
const APPROVALS_BYTES: usize = 6_000;
const PLAN_BYTES: usize = 6_000;
const TEXT_BYTES: usize = 2_000;

/// The fold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// The agent's own word, and more about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// What runs and can be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
    /// Tools.
    pub tools: Tools,
    /// Approvals that nobody has answered yet.
    pub approvals: Window<Approval, APPROVALS_BYTES>,
    /// How many errors there were.
    pub errors: u64,
    /// The last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
}

/// status.changed
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Status {
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    pub position: i64,
}

/// progress
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Progress {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<Step>,
    pub position: i64,
}

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Step {
    pub text: String,
    #[serde(default)]
    pub state: String,
}

/// preview.opened
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Preview {
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,
    pub position: i64,
}

/// Tool calls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tools {
    /// Those that were started and not finished.
    pub running: Window<ToolCall, TOOLS_BYTES>,
    /// How many were started.
    pub started: u64,
    /// How many were finished.
    pub finished: u64,
    /// How many of these with an error.
    pub failed: u64,
}

/// A tool call that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The producer's name for it.
    pub call: String,
    /// The tool.
    pub name: String,
    /// The call that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The beginning of its input's JSON.
    pub input: String,
    /// Position of its start.
    pub position: i64,
}

/// approval.requested
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Approval {
    pub approval: String,
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    pub position: i64,
}

/// error
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct LastError {
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    pub position: i64,
}

impl Cost for ToolCall {
    fn cost(&self) -> usize {
        let parent = self.parent.as_deref().map_or(0, json_length);
        json_length(&self.call) + json_length(&self.name) + json_length(&self.input) + parent + 80
    }
}

impl Cost for Approval {
    fn cost(&self) -> usize {
        let detail = self.detail.as_deref().map_or(0, json_length);
        json_length(&self.approval) + json_length(&self.title) + detail + 60
    }
}

impl Activity {
    pub(super) fn apply(&mut self, event: &FoldEvent<'_>) {
        let fields = Fields::of(event.data);
        let position = event.position;
        match event.kind.as_ref() {
            "status.changed" => {
                if let Some(status) = short(&fields, "status") {
                    let detail = long(&fields, "detail");
                    self.status = Some(Status {
                        status,
                        detail,
                        position,
                    });
                }
            }
            "progress" => self.apply_progress(&fields, position),
            "preview.opened" => {
                self.preview = long(&fields, "url").map(|url| Preview {
                    url,
                    port: fields.integer("port"),
                    position,
                });
            }
            "preview.closed" => self.preview = None,
            "tool.started" => self.tools.start(&fields, position),
            "tool.finished" => self.tools.finish(&fields),
            "approval.requested" => {
                if let Some(approval) = short(&fields, "approval") {
                    self.approvals.take(|known| known.approval == approval);
                    self.approvals.push(Approval {
                        approval,
                        title: short(&fields, "title").unwrap_or_default(),
                        detail: long(&fields, "detail"),
                        position,
                    });
                }
            }
            "approval.resolved" => {
                if let Some(approval) = short(&fields, "approval") {
                    self.approvals.take(|known| known.approval == approval);
                }
            }
            "error" => {
                self.errors += 1;
                self.last_error = Some(LastError {
                    message: long(&fields, "message").unwrap_or_default(),
                    code: short(&fields, "code"),
                    position,
                });
            }
            _ => {}
        }
    }

    /// What a progress event does not name stays as it was.
    fn apply_progress(&mut self, fields: &Fields<'_>, position: i64) {
        let mut progress = self.progress.take().unwrap_or_default();
        progress.position = position;
        if let Some(title) = short(fields, "title") {
            progress.title = Some(title);
        }
        progress.done = fields.integer("done").or(progress.done);
        progress.total = fields.integer("total").or(progress.total);
        if let Some(plan) = fields.value::<Vec<Step>>("plan") {
            let mut left = PLAN_BYTES;
            progress.plan = plan
                .into_iter()
                .map(|step| Step {
                    text: beginning(&step.text, TEXT_BYTES).to_owned(),
                    state: beginning(&step.state, 50).to_owned(),
                })
                .take_while(|step| {
                    let cost = json_length(&step.text) + json_length(&step.state) + 20;
                    let fits = cost <= left;
                    left = left.saturating_sub(cost);
                    fits
                })
                .collect();
        }
        self.progress = Some(progress);
    }
}

impl Tools {
    fn start(&mut self, fields: &Fields<'_>, position: i64) {
        let Some(call) = short(fields, "call") else {
            return;
        };
        self.started += 1;
        self.running.take(|known| known.call == call);
        self.running.push(ToolCall {
            call,
            name: short(fields, "name").unwrap_or_default(),
            parent: short(fields, "parent"),
            input: fields
                .raw("input")
                .map(|input| beginning(input.get(), TEXT_BYTES).to_owned())
                .unwrap_or_default(),
            position,
        });
    }

    fn finish(&mut self, fields: &Fields<'_>) {
        self.finished += 1;
        self.failed += u64::from(fields.text("status").is_some_and(|status| status == "error"));
        if let Some(call) = short(fields, "call") {
            self.running.take(|known| known.call == call);
        }
    }
}

fn long(fields: &Fields<'_>, name: &str) -> Option<String> {
    Some(beginning(&fields.text(name)?, TEXT_BYTES).to_owned())
}
