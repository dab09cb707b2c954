//! Claude Code's settings file with our hooks in it, or without them. Everything else stays as its owner wrote it, to
//! the letter and in order.
//!
//! Source of the format: <https://code.claude.com/docs/en/hooks#http-hook-fields>.

use std::fmt;

use kulti_runner::tool::claude::{HOOK_TIMEOUT_S, HOOKS};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The route of the server that hooks post to.
const ROUTE: &str = "/v1/hooks/claude-code";
/// Claude Code posts no others of those that a session is followed by.
const NOT_POSTED: &str = "SessionStart";
/// The variable that the key is read from when a hook is called: it is in no file.
pub(crate) const KEY_VARIABLE: &str = "KULTI_API_KEY";

/// Why the file is not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("it is no JSON object: {0}")]
    NotJson(#[from] serde_json::Error),
    #[error("`hooks.{0}` is no list")]
    NotAList(String),
}

/// A hook that posts to the server.
pub(crate) fn http_hook(server: &str, agent: Option<&str>, has_key: bool) -> Value {
    let mut url = format!("{}{ROUTE}", server.trim_end_matches('/'));
    if let Some(agent) = agent {
        let query = reqwest::Url::parse_with_params("http://x/", [("agent", agent)]);
        url.extend(query.ok().and_then(|url| Some(format!("?{}", url.query()?))));
    }
    let mut hook = json!({"type": "http", "url": url, "timeout": HOOK_TIMEOUT_S});
    if has_key {
        hook["headers"] = json!({"Authorization": format!("Bearer ${KEY_VARIABLE}")});
        hook["allowedEnvVars"] = json!([KEY_VARIABLE]);
    }
    hook
}

/// The settings with this hook for every event that it can follow, in the place of those that were there.
pub(crate) fn installed(settings: &str, hook: &Value) -> Result<String, SettingsError> {
    changed(settings, Some(hook))
}

/// The settings without our hooks.
pub(crate) fn uninstalled(settings: &str) -> Result<String, SettingsError> {
    changed(settings, None)
}

fn changed(settings: &str, hook: Option<&Value>) -> Result<String, SettingsError> {
    let text = if settings.trim().is_empty() {
        "{}"
    } else {
        settings
    };
    let mut members: Members = serde_json::from_str(text)?;
    let before = match members.get("hooks") {
        Some(hooks) => serde_json::from_str(hooks)?,
        None => Members::default(),
    };
    let mut hooks = Members::default();
    for (event, groups) in before.0 {
        let kept = without_ours(&event, &groups)?;
        // Where nothing was ours, its owner's own text stays.
        match kept {
            Some(kept) if kept.is_empty() => {}
            Some(kept) => hooks.set(&event, indented(&Value::Array(kept), 4)),
            None => hooks.set(&event, groups.get().to_owned()),
        }
    }
    if let Some(hook) = hook {
        for event in HOOKS.iter().filter(|event| **event != NOT_POSTED) {
            let mut groups: Vec<Value> = match hooks.get(event) {
                Some(groups) => serde_json::from_str(groups)?,
                None => Vec::new(),
            };
            groups.push(json!({"hooks": [hook]}));
            hooks.set(event, indented(&Value::Array(groups), 4));
        }
    }
    match hooks.0.is_empty() {
        true => members.0.retain(|(name, _)| name != "hooks"),
        false => members.set("hooks", hooks.written(4)),
    }
    Ok(members.written(2) + "\n")
}

/// The groups of an event without our hooks; `None` if there are none of ours.
fn without_ours(event: &str, groups: &RawValue) -> Result<Option<Vec<Value>>, SettingsError> {
    let Ok(groups) = serde_json::from_str::<Vec<Value>>(groups.get()) else {
        return Err(SettingsError::NotAList(event.to_owned()));
    };
    let mut is_changed = false;
    let mut kept = Vec::new();
    for mut group in groups {
        if let Some(hooks) = group["hooks"].as_array_mut() {
            let count = hooks.len();
            hooks.retain(|hook| !is_ours(hook));
            is_changed |= hooks.len() < count;
            if hooks.is_empty() && count > 0 {
                continue;
            }
        }
        kept.push(group);
    }
    Ok(is_changed.then_some(kept))
}

fn is_ours(hook: &Value) -> bool {
    let url = hook["url"].as_str().unwrap_or_default();
    hook["type"] == "http" && url.split('?').next().is_some_and(|url| url.ends_with(ROUTE))
}

/// Pretty JSON, as it stands this far from the margin.
fn indented(value: &impl Serialize, spaces: usize) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.replace('\n', &format!("\n{}", " ".repeat(spaces)))
}

/// Members of an object in their order, each value as it was written.
#[derive(Debug, Default)]
struct Members(Vec<(String, Box<RawValue>)>);

impl Members {
    fn get(&self, name: &str) -> Option<&str> {
        let member = self.0.iter().find(|member| member.0 == name)?;
        Some(member.1.get())
    }

    fn set(&mut self, name: &str, json: String) {
        let Ok(value) = RawValue::from_string(json) else {
            return;
        };
        match self.0.iter_mut().find(|member| member.0 == name) {
            Some(member) => member.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// With its members this far from the margin.
    fn written(&self, spaces: usize) -> String {
        if self.0.is_empty() {
            return "{}".to_owned();
        }
        let margin = " ".repeat(spaces);
        let members: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{margin}{}: {}", json!(name), value.get()))
            .collect();
        let end = " ".repeat(spaces - 2);
        format!("{{\n{}\n{end}}}", members.join(",\n"))
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: &str = r#"{
  "model": "opus",
  "permissions": { "allow": ["Bash(ls:*)"],   "deny": [] },
  "hooks": {
    "Stop": [
      {
        "hooks": [
          {
            "type": "command",
            "command": "say done"
          }
        ]
      }
    ],
    "PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "http", "url": "http://other/hook"}]}]
  },
  "zebra": 1.50
}
"#;

    #[test]
    fn what_was_installed_is_taken_out_again_and_nothing_else_changes() {
        let hook = http_hook("https://kulti.example/", None, true);
        let with = installed(SETTINGS, &hook).expect("settings");
        let value: Value = serde_json::from_str(&with).expect("JSON");
        for event in HOOKS.iter().filter(|event| **event != "SessionStart") {
            let groups = value["hooks"][*event].as_array().expect("a list");
            let ours = groups.last().expect("ours");
            assert_eq!(ours["hooks"], json!([hook]), "{event}");
        }
        assert_eq!(value["hooks"]["SessionStart"], Value::Null);
        assert_eq!(
            installed(&with, &hook).expect("settings"),
            with,
            "again changes nothing"
        );
        let moved =
            installed(&with, &http_hook("http://127.0.0.1:8080", Some("a b"), false)).expect("settings");
        assert_eq!(
            moved
                .matches("http://127.0.0.1:8080/v1/hooks/claude-code?agent=a+b")
                .count(),
            11
        );
        assert!(!moved.contains("kulti.example"));
        let without = uninstalled(&moved).expect("settings");
        let (before, after): (Value, Value) = (
            serde_json::from_str(SETTINGS).expect("JSON"),
            serde_json::from_str(&without).expect("JSON"),
        );
        assert_eq!(before, after);
        assert!(without.contains(r#""permissions": { "allow": ["Bash(ls:*)"],   "deny": [] }"#));
        assert!(without.contains("\"zebra\": 1.50"));
        assert_eq!(uninstalled(SETTINGS).expect("settings"), SETTINGS);
    }

    #[test]
    fn there_need_be_no_settings_and_broken_ones_are_left_alone() {
        let hook = http_hook("http://127.0.0.1:8080", None, false);
        let with = installed("", &hook).expect("settings");
        assert_eq!(uninstalled(&with).expect("settings"), "{}\n");
        for broken in ["[]", "{\"hooks\": 1}", "{\"hooks\": {\"Stop\": {}}}", "{// x\n}"] {
            assert!(installed(broken, &hook).is_err(), "{broken}");
        }
    }
}
