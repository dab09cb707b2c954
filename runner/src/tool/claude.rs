//! Claude Code's command line, and what is put into it: per-run settings with hooks that tell this process.
//!
//! Source: <https://code.claude.com/docs/en/cli-reference>, <https://code.claude.com/docs/en/hooks>.

use serde_json::{Value, json};

/// Hooks that a session is followed by.
pub const HOOKS: [&str; 12] = [
    "SessionStart",
    "SessionEnd",
    "UserPromptSubmit",
    "PreToolUse",
    "PostToolUse",
    "PostToolUseFailure",
    "PermissionRequest",
    "Notification",
    "Stop",
    "SubagentStart",
    "SubagentStop",
    "PreCompact",
];
/// Seconds that a hook may delay Claude Code at most.
pub const HOOK_TIMEOUT_S: u64 = 2;

/// First words that make a command of their own, without a session.
const SUBCOMMANDS: [&str; 14] = [
    "agents",
    "auth",
    "auto-mode",
    "config",
    "doctor",
    "help",
    "install",
    "login",
    "logout",
    "mcp",
    "migrate-installer",
    "plugin",
    "setup-token",
    "update",
];
const NO_SESSION: [&str; 4] = ["--help", "-h", "--version", "-v"];

/// Whether a session comes of these arguments.
pub(super) fn is_session(arguments: &[String]) -> bool {
    let first = arguments.first().map_or("", String::as_str);
    !SUBCOMMANDS.contains(&first) && !arguments.iter().any(|word| NO_SESSION.contains(&word.as_str()))
}

/// Whether it prints one record a line.
pub(super) fn prints_stream_json(arguments: &[String]) -> bool {
    let is_print = arguments.iter().any(|word| word == "-p" || word == "--print");
    is_print && value_of(arguments, &["--output-format"]) == Some("stream-json")
}

/// The session that the arguments name, if they do.
pub(crate) fn named_session(arguments: &[String]) -> Option<&str> {
    value_of(arguments, &["--session-id", "--resume", "-r"]).filter(|name| !name.starts_with('-'))
}

/// The arguments that give Claude Code these settings; none where its caller gives it others: two would not be read.
pub(crate) fn settings_arguments(arguments: &[String], settings: &str) -> Vec<String> {
    match value_of(arguments, &["--settings"]) {
        Some(_) => Vec::new(),
        None => vec!["--settings".to_owned(), settings.to_owned()],
    }
}

fn value_of<'a>(arguments: &'a [String], flags: &[&str]) -> Option<&'a str> {
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        for flag in flags {
            if word == flag {
                return Some(words.next().map_or("", String::as_str));
            }
            let value = word.strip_prefix(flag).and_then(|rest| rest.strip_prefix('='));
            if value.is_some() {
                return value;
            }
        }
    }
    None
}

/// Settings in which every hook runs this shell command.
pub(crate) fn settings(command: &str) -> Value {
    let hook = json!({"type": "command", "command": command, "timeout": HOOK_TIMEOUT_S});
    hook_settings(&HOOKS, &hook)
}

/// Settings with this hook for each of these events, whatever the tool.
pub fn hook_settings(events: &[&str], hook: &Value) -> Value {
    let groups = events
        .iter()
        .map(|event| ((*event).to_owned(), json!([{"hooks": [hook]}])));
    json!({"hooks": groups.collect::<serde_json::Map<_, _>>()})
}

/// The command that goes on with a session, in the way in which it began, and says something to it.
pub(super) fn resume(command: &[String], session: &str, words: String) -> Vec<String> {
    // Flags that say how it is run, not what it does.
    let kept = [
        "-p",
        "--print",
        "--verbose",
        "--include-partial-messages",
        "--dangerously-skip-permissions",
    ];
    let kept_with_value = [
        "--output-format",
        "--model",
        "--permission-mode",
        "--max-turns",
        "--mcp-config",
    ];
    let mut resumed = vec![command.first().cloned().unwrap_or_default()];
    resumed.extend(["--resume".to_owned(), session.to_owned()]);
    let mut arguments = command.iter().skip(1);
    while let Some(word) = arguments.next() {
        let flag = word.split('=').next().unwrap_or(word);
        if kept.contains(&word.as_str()) || (word.contains('=') && kept_with_value.contains(&flag)) {
            resumed.push(word.clone());
        } else if kept_with_value.contains(&word.as_str()) {
            resumed.push(word.clone());
            resumed.extend(arguments.next().cloned());
        }
    }
    resumed.push(words);
    resumed
}
