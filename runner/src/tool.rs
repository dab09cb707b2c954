//! Tools that say more than they print: their own records go into the session besides their terminal.
//!
//! What a record means is its adapter's to say (kulti-adapters). Here is where records come from: lines that a tool
//! prints for programs (`tap`), a transcript that it writes (`transcripts`), hooks that it calls (`hooks`). One thread
//! (`records`) takes them in the order in which they come, so that what two of them tell is said once.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use kulti_adapters::Format;

pub use self::hooks::relay as relay_hook;
use self::hooks::{HookSocket, Listening};
use self::records::{Records, Teller, Whose};
use self::transcripts::Transcripts;
use crate::folder::{RunFile, RunFolder};
use crate::run::{RunOptions, shown};
use crate::spool::{Durability, replace_file};

pub mod claude;
pub(crate) mod hooks;
pub(crate) mod records;
pub(crate) mod tap;
pub(crate) mod transcripts;

/// How a tool says what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Claude Code: it writes a transcript, and calls hooks.
    Claude,
    /// It prints its records, one a line.
    Prints(Format),
}

impl Tool {
    /// The tool that a command is, if it says more than it prints.
    pub fn of(command: &[String]) -> Option<Tool> {
        let (program, arguments) = command.split_first()?;
        let has = |names: &[&str]| arguments.iter().any(|word| names.contains(&word.as_str()));
        match Path::new(program).file_name().and_then(OsStr::to_str)? {
            "claude" if claude::prints_stream_json(arguments) => Some(Tool::Prints(Format::ClaudeStreamJson)),
            "claude" if claude::is_session(arguments) => Some(Tool::Claude),
            "codex" if has(&["exec", "e"]) && has(&["--json", "--experimental-json"]) => {
                Some(Tool::Prints(Format::CodexExec))
            }
            _ => None,
        }
    }

    /// The format of its records.
    pub(crate) fn format(self) -> Format {
        match self {
            Tool::Claude => Format::ClaudeTranscript,
            Tool::Prints(format) => format,
        }
    }
}

/// The command that goes on with a tool's session, in the way in which it began, and says something to it; `None` for
/// tools of which that is not known.
pub fn resume(command: &[String], session: &str, words: String) -> Option<Vec<String>> {
    let program = command.first()?;
    match Path::new(program).file_name().and_then(OsStr::to_str)? {
        "claude" => Some(claude::resume(command, session, words)),
        "codex" => {
            let json = command
                .iter()
                .find(|word| word.ends_with("json") && word.starts_with("--"));
            let mut resumed = vec![program.clone(), "exec".to_owned()];
            resumed.extend(json.cloned());
            resumed.extend(["resume".to_owned(), session.to_owned(), words]);
            Some(resumed)
        }
        _ => None,
    }
}

/// What must be in place before the tool starts.
pub(crate) struct Preparing {
    tool: Option<Tool>,
    transcripts: Option<Transcripts>,
    hooks: Option<HookSocket>,
    settings: Option<PathBuf>,
    arguments: Vec<String>,
}

impl Preparing {
    /// What cannot be had is told and left out: the tool runs all the same.
    pub(crate) fn of(options: &RunOptions, folder: &RunFolder) -> Preparing {
        let tool = Tool::of(&options.command);
        let mut preparing = Preparing {
            tool,
            transcripts: None,
            hooks: None,
            settings: None,
            arguments: Vec::new(),
        };
        if tool == Some(Tool::Claude) {
            let arguments = options.command.get(1..).unwrap_or_default();
            preparing.transcripts = options.tools.claude_projects.as_ref().map(|projects| {
                let named = claude::named_session(arguments);
                Transcripts::before(projects.clone(), &options.folder, named)
            });
            if let Err(error) = preparing.hook(options, folder, arguments) {
                tracing::warn!(%error, "the tool's hooks are not heard");
            }
        }
        preparing
    }

    fn hook(&mut self, options: &RunOptions, folder: &RunFolder, arguments: &[String]) -> io::Result<()> {
        let path = folder.tool_settings();
        let words = claude::settings_arguments(arguments, &path.to_string_lossy());
        if words.is_empty() || options.tools.hook_relay.is_empty() {
            return Ok(());
        }
        let socket = HookSocket::open()?;
        let mut relay = options.tools.hook_relay.clone();
        relay.push(socket.path().to_string_lossy().into_owned());
        // Nobody at the tool's terminal hears of it if this goes wrong.
        let command = format!("{} >/dev/null 2>&1 || true", shown(&relay));
        let settings = serde_json::to_vec_pretty(&claude::settings(&command))?;
        replace_file(&path, &settings, Durability::Lazy)?;
        self.settings = Some(path);
        self.hooks = Some(socket);
        self.arguments = words;
        Ok(())
    }

    /// Words that the command gets before its own.
    pub(crate) fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// The tool runs: takes what it tells.
    ///
    /// # Errors
    /// If there is no thread or descriptor left.
    pub(crate) fn follow(self, whose: Whose) -> io::Result<Following> {
        let records = match self.tool {
            Some(tool) => Some((tool, Records::start(tool, self.transcripts, whose)?)),
            None => None,
        };
        let listening = match (self.hooks, &records) {
            (Some(hooks), Some((_, records))) => Some(hooks.listen(records.teller())?),
            _ => None,
        };
        Ok(Following {
            listening,
            records,
            settings: self.settings,
        })
    }
}

/// A tool whose records are taken.
pub(crate) struct Following {
    listening: Option<Listening>,
    records: Option<(Tool, Records)>,
    settings: Option<PathBuf>,
}

impl Following {
    /// Who knows what the lines mean that the tool prints, if they are records.
    pub(crate) fn printed_records(&self) -> Option<Teller> {
        match &self.records {
            Some((Tool::Prints(_), records)) => Some(records.teller()),
            _ => None,
        }
    }

    /// The tool has ended: takes what it told last. Gives the run with what was learned of the tool. Blocks for that.
    pub(crate) fn finish(self, run: RunFile) -> RunFile {
        drop(self.listening);
        if let Some(settings) = self.settings {
            // Without secrets, and of no use to anybody.
            std::fs::remove_file(settings).ok();
        }
        match self.records {
            Some((_, records)) => RunFile {
                tool_session: records.finish().or(run.tool_session.clone()),
                ..run
            },
            None => run,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_known_by_what_they_are_asked_to_print() {
        let of = |command: &str| Tool::of(&command.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let stream = Some(Tool::Prints(Format::ClaudeStreamJson));
        assert_eq!(of("claude"), Some(Tool::Claude));
        assert_eq!(of("/opt/bin/claude --model opus fix_it"), Some(Tool::Claude));
        assert_eq!(of("claude -p hello"), Some(Tool::Claude));
        assert_eq!(of("claude -p x --output-format stream-json --verbose"), stream);
        assert_eq!(of("claude --print --output-format=stream-json x"), stream);
        assert_eq!(of("claude mcp list"), None);
        assert_eq!(of("claude --version"), None);
        assert_eq!(of("codex exec --json x"), Some(Tool::Prints(Format::CodexExec)));
        assert_eq!(of("codex exec x"), None);
        assert_eq!(of("bash -c claude"), None);
    }
}
