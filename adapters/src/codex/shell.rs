//! Commands as Codex tells them, and how they ended.

use serde_json::Value;

use crate::fields::text;

/// Words with which Codex tells that a tool did not do what it was asked to.
const FAILURES: &[&str] = &[
    "apply_patch verification failed",
    "exec_command failed",
    "failed to parse function arguments",
    "failed in sandbox",
    "execution error",
    "unsupported call",
    "unsupported custom tool call",
    "aborted by user",
];
/// How far into an output its own heading reaches.
const HEADING: usize = 400;

/// What came out of a command or tool.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Outcome {
    /// What it printed.
    pub(super) text: String,
    pub(super) exit_code: Option<i64>,
    pub(super) duration_ms: Option<i64>,
    pub(super) failed: bool,
}

/// The command of a call that runs one: text, or a list of words of which a shell's are left out.
pub(super) fn command_of(tool: &str, input: &Value) -> Option<String> {
    if !matches!(
        tool,
        "shell"
            | "shell_command"
            | "local_shell"
            | "local_shell_call"
            | "container.exec"
            | "exec_command"
            | "unified_exec"
    ) {
        return None;
    }
    match input.get("command").or_else(|| input.get("cmd"))? {
        Value::String(command) => Some(command.clone()),
        Value::Array(words) => {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            match words.as_slice() {
                [shell, flag, script] if flag.starts_with('-') && flag.ends_with('c') && is_shell(shell) => {
                    Some((*script).to_owned())
                }
                words => Some(words.join(" ")),
            }
        }
        _ => None,
    }
}

fn is_shell(word: &str) -> bool {
    let name = word.rsplit(['/', '\\']).next().unwrap_or(word);
    matches!(name, "bash" | "sh" | "zsh" | "dash" | "fish")
}

/// What the output of a call tells, in all forms that it has had.
pub(super) fn outcome(output: &Value) -> Outcome {
    match output {
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(inner) if inner.get("output").is_some_and(Value::is_string) => of_object(&inner),
            _ => of_text(text),
        },
        Value::Object(_) => of_object(output),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| text(part, "text")).collect();
            of_text(&texts.join("\n"))
        }
        _ => Outcome::default(),
    }
}

/// `{output, metadata: {exit_code, duration_seconds}}`, `{content, success}`
fn of_object(object: &Value) -> Outcome {
    let said = text(object, "output")
        .or(text(object, "content"))
        .unwrap_or_default();
    let mut outcome = of_text(said);
    let metadata = &object["metadata"];
    outcome.exit_code = metadata["exit_code"].as_i64().or(outcome.exit_code);
    outcome.duration_ms = metadata["duration_seconds"]
        .as_f64()
        .map(|seconds| (seconds * 1000.0) as i64)
        .or(outcome.duration_ms);
    outcome.failed |= outcome.exit_code.is_some_and(|code| code != 0) || object["success"] == false;
    outcome
}

/// Text that begins with a heading: `Exit code: 0`, `Wall time: 1.2 seconds`, `Process exited with code 0`, `Output:`.
fn of_text(text: &str) -> Outcome {
    let mut outcome = Outcome {
        text: text.to_owned(),
        ..Outcome::default()
    };
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end();
        let after = |start: &str| content.strip_prefix(start).map(str::trim);
        if let Some(code) = after("Exit code:").or(after("Process exited with code")) {
            outcome.exit_code = code.parse().ok();
        } else if let Some(time) = after("Wall time:") {
            let seconds = time
                .split(' ')
                .next()
                .and_then(|number| number.parse::<f64>().ok());
            outcome.duration_ms = seconds.map(|seconds| (seconds * 1000.0) as i64);
        } else if content == "Output:" && (outcome.exit_code.is_some() || outcome.duration_ms.is_some()) {
            outcome.text = text[at + line.len()..].to_owned();
            break;
        }
        at += line.len();
        if at > HEADING {
            break;
        }
    }
    let says_so = FAILURES.iter().any(|failure| text.starts_with(failure));
    outcome.failed = says_so || outcome.exit_code.is_some_and(|code| code != 0);
    outcome
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_forms_of_output_tell_how_the_command_ended() {
        let older = json!("{\"output\":\"hi\\n\",\"metadata\":{\"exit_code\":2,\"duration_seconds\":0.5}}");
        let newer = json!("Exit code: 2\nWall time: 0.5 seconds\nOutput:\nhi\n");
        let newest = json!("Chunk ID: a1\nWall time: 0.5 seconds\nProcess exited with code 2\nOutput:\nhi\n");
        for form in [older, newer, newest] {
            let outcome = outcome(&form);
            assert_eq!(
                (
                    outcome.text.as_str(),
                    outcome.exit_code,
                    outcome.duration_ms,
                    outcome.failed
                ),
                ("hi\n", Some(2), Some(500), true),
                "{form}"
            );
        }
        assert!(outcome(&json!("apply_patch verification failed: x")).failed);
        assert!(!outcome(&json!("all fine")).failed);
        assert!(outcome(&json!({"content": "x", "success": false})).failed);
        assert_eq!(outcome(&json!([{"type": "input_text", "text": "a"}])).text, "a");
    }

    #[test]
    fn commands_are_what_the_shell_was_given() {
        assert_eq!(
            command_of("shell", &json!({"command": ["bash", "-lc", "ls -l"]})).as_deref(),
            Some("ls -l")
        );
        assert_eq!(
            command_of("shell", &json!({"command": ["ls", "-l"]})).as_deref(),
            Some("ls -l")
        );
        assert_eq!(
            command_of("exec_command", &json!({"cmd": "ls"})).as_deref(),
            Some("ls")
        );
        assert_eq!(command_of("update_plan", &json!({"command": "ls"})), None);
    }
}
