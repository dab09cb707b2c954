//! The files that Claude Code writes of a run: its session's, those of its subagents, and those of the sessions that
//! come after `/clear`. Hooks name them; where no hook comes, the only file that began or grew with the run is taken.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::lines::{Lines, Next};

/// For so long a hook may still tell which file it is.
const HOOK_PATIENCE: Duration = Duration::from_secs(1);
/// Clocks of file systems are coarser than ours.
const CLOCK_GRAIN: Duration = Duration::from_secs(2);
/// Lines that are looked through for the folder that a file is about.
const FIRST_LINES: usize = 20;
/// Subagents' files, and those of sessions after others; more are not followed.
const FOLLOWED: usize = 512;

/// Finds and follows them.
#[derive(Debug)]
pub(crate) struct Transcripts {
    /// `~/.claude/projects`.
    projects: PathBuf,
    /// Where the tool runs.
    folder: PathBuf,
    /// What the command line calls the session.
    named: Option<String>,
    begun: SystemTime,
    /// Files of this folder that were there before, and how long they were.
    before: HashMap<PathBuf, u64>,
    followed: Vec<Followed>,
    known: HashSet<PathBuf>,
    /// A hook has come: it knows better than any search.
    is_told: bool,
    /// The only file that it may be, and when it was found.
    candidate: Option<(PathBuf, Instant)>,
}

#[derive(Debug)]
struct Followed {
    path: PathBuf,
    lines: Option<Lines>,
    offset: u64,
    /// Subagents write beside it.
    is_main: bool,
}

impl Transcripts {
    /// Before the tool starts: what is there now is not of this run.
    pub(crate) fn before(projects: PathBuf, folder: &Path, named: Option<&str>) -> Self {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let mut before = HashMap::new();
        for path in jsonl_files(&projects.join(folder_name(&folder))) {
            let length = fs::metadata(&path).map_or(0, |about| about.len());
            before.insert(path, length);
        }
        Transcripts {
            projects,
            folder,
            named: named.map(str::to_owned),
            begun: SystemTime::now(),
            before,
            followed: Vec::new(),
            known: HashSet::new(),
            is_told: false,
            candidate: None,
        }
    }

    /// A hook says that the tool writes to this file, which may not be there yet.
    pub(crate) fn told(&mut self, path: PathBuf) {
        self.is_told = true;
        let is_main = !is_subagents(&path);
        self.follow(path, is_main);
    }

    /// Gives the lines that have come. True if there were any. `is_last`: no hook comes any more.
    pub(crate) fn look(&mut self, is_last: bool, mut line: impl FnMut(&[u8])) -> bool {
        if !self.is_told && self.followed.is_empty() {
            self.search(is_last);
        }
        self.find_subagents();
        let mut came = false;
        for followed in &mut self.followed {
            came |= followed.read(&mut line);
        }
        came
    }

    fn follow(&mut self, path: PathBuf, is_main: bool) {
        if self.followed.len() >= FOLLOWED || !self.known.insert(path.clone()) {
            return;
        }
        self.followed.push(Followed {
            offset: self.before.get(&path).copied().unwrap_or(0),
            path,
            lines: None,
            is_main,
        });
    }

    fn search(&mut self, is_last: bool) {
        let mut found: Vec<PathBuf> = self
            .folders()
            .iter()
            .flat_map(|folder| jsonl_files(folder))
            .collect();
        found.retain(|path| !is_subagents(path) && self.has_grown(path));
        if let Some(named) = &self.named
            && let Some(path) = found
                .iter()
                .find(|path| path.file_stem() == Some(OsStr::new(named)))
        {
            return self.follow(path.clone(), true);
        }
        let ours = self.projects.join(folder_name(&self.folder));
        found.retain(|path| path.parent() == Some(&*ours) || is_about(path, &self.folder));
        let [path] = found.as_slice() else {
            // None yet; or several, and which is ours cannot be told.
            self.candidate = None;
            return;
        };
        match &self.candidate {
            Some((known, since)) if known == path && (is_last || since.elapsed() >= HOOK_PATIENCE) => {
                self.follow(path.clone(), true);
            }
            Some((known, _)) if known == path => {}
            _ => self.candidate = Some((path.clone(), Instant::now())),
        }
    }

    /// The folders of projects that may hold it: the one of this folder's name, and those in which files began.
    fn folders(&self) -> Vec<PathBuf> {
        let ours = self.projects.join(folder_name(&self.folder));
        let entries = fs::read_dir(&self.projects).into_iter().flatten().flatten();
        let since = self.begun.checked_sub(CLOCK_GRAIN).unwrap_or(self.begun);
        entries
            .filter(|entry| {
                let changed = entry.metadata().and_then(|about| about.modified());
                entry.path() == ours || changed.is_ok_and(|changed| changed >= since)
            })
            .map(|entry| entry.path())
            .collect()
    }

    fn has_grown(&self, path: &Path) -> bool {
        let Ok(about) = fs::metadata(path) else {
            return false;
        };
        match self.before.get(path) {
            Some(length) => about.len() > *length,
            None => about
                .modified()
                .is_ok_and(|changed| changed + CLOCK_GRAIN >= self.begun),
        }
    }

    /// Subagents' files: below a folder of the session's name, or beside it in older versions.
    fn find_subagents(&mut self) {
        let mains: Vec<PathBuf> = self
            .followed
            .iter()
            .filter(|followed| followed.is_main)
            .map(|followed| followed.path.clone())
            .collect();
        for main in mains {
            let below = main.with_extension("").join("subagents");
            let mut found = jsonl_files(&below);
            for entry in fs::read_dir(below.join("workflows"))
                .into_iter()
                .flatten()
                .flatten()
            {
                found.extend(jsonl_files(&entry.path()));
            }
            let session = main.file_stem().and_then(OsStr::to_str).unwrap_or_default();
            let beside = main.parent().map(jsonl_files).unwrap_or_default();
            found.extend(beside.into_iter().filter(|path| {
                is_subagents(path)
                    && !self.known.contains(path)
                    && !self.before.contains_key(path)
                    && first_records(path).any(|record| record["sessionId"] == session)
            }));
            for path in found.into_iter().filter(|path| is_subagents(path)) {
                self.follow(path, false);
            }
        }
    }
}

impl Followed {
    fn read(&mut self, line: &mut impl FnMut(&[u8])) -> bool {
        if self.lines.is_none() {
            // It is not there yet.
            self.lines = Lines::open_at(&self.path, self.offset).ok();
        }
        let Some(lines) = &mut self.lines else {
            return false;
        };
        let mut came = false;
        loop {
            match lines.read_next() {
                Ok(Next::Line) => {
                    line(lines.line());
                    came = true;
                }
                Ok(Next::Begun | Next::End) => return came,
                Err(error) => {
                    tracing::warn!(%error, path = %self.path.display(), "a transcript cannot be read");
                    return came;
                }
            }
        }
    }
}

/// As Claude Code names the folder of a project: all but letters and digits become hyphens.
fn folder_name(folder: &Path) -> String {
    let text = folder.to_string_lossy();
    text.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect()
}

fn is_subagents(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    name.starts_with("agent-")
}

fn jsonl_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension() == Some(OsStr::new("jsonl")))
        .collect()
}

fn first_records(path: &Path) -> impl Iterator<Item = Value> {
    let mut lines = Lines::open(path).ok();
    std::iter::from_fn(move || {
        let lines = lines.as_mut()?;
        match lines.read_next() {
            Ok(Next::Line) => Some(serde_json::from_slice(lines.line()).unwrap_or_default()),
            _ => None,
        }
    })
    .take(FIRST_LINES)
}

fn is_about(path: &Path, folder: &Path) -> bool {
    first_records(path).any(|record| {
        let told = record["cwd"].as_str().map(Path::new);
        told.is_some_and(|told| told == folder || told.canonicalize().is_ok_and(|told| told == folder))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn write(path: &Path, lines: &[&str]) {
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .expect("a file");
        for line in lines {
            writeln!(file, "{line}").expect("written");
        }
    }

    fn looked(transcripts: &mut Transcripts, is_last: bool) -> Vec<String> {
        let mut lines = Vec::new();
        transcripts.look(is_last, |line| {
            lines.push(String::from_utf8_lossy(line).into_owned())
        });
        lines
    }

    #[test]
    fn a_hook_names_the_file_and_what_was_there_before_is_not_read() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().canonicalize().expect("a path");
        let projects = folder.join("projects");
        let session = projects.join(folder_name(&folder)).join("s1.jsonl");
        write(&session, &["{\"old\":1}"]);
        let mut transcripts = Transcripts::before(projects, &folder, None);
        transcripts.told(session.clone());
        write(&session, &["{\"new\":1}"]);
        write(
            &session.with_extension("").join("subagents/agent-1.jsonl"),
            &["{\"sub\":1}"],
        );
        let beside = session.with_file_name("agent-2.jsonl");
        write(&beside, &["{\"sessionId\":\"s1\"}"]);
        write(
            &session.with_file_name("agent-3.jsonl"),
            &["{\"sessionId\":\"other\"}"],
        );
        assert_eq!(
            looked(&mut transcripts, false),
            ["{\"new\":1}", "{\"sub\":1}", "{\"sessionId\":\"s1\"}"]
        );
        write(&beside, &["{\"more\":1}"]);
        assert_eq!(looked(&mut transcripts, false), ["{\"more\":1}"]);
    }

    #[test]
    fn without_hooks_the_only_new_file_about_the_folder_is_taken_and_none_of_two() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().canonicalize().expect("a path");
        let projects = folder.join("projects");
        let line = format!("{{\"cwd\":\"{}\"}}", folder.display());
        fs::create_dir_all(&projects).expect("a folder");
        let mut transcripts = Transcripts::before(projects.clone(), &folder, None);
        write(&projects.join("any-name/a.jsonl"), &[&line]);
        write(
            &projects.join("any-name/other.jsonl"),
            &["{\"cwd\":\"/elsewhere\"}"],
        );
        assert_eq!(looked(&mut transcripts, false), [""; 0], "a hook may still come");
        assert_eq!(looked(&mut transcripts, true), [line.as_str()]);

        let mut transcripts = Transcripts::before(projects.clone(), &folder, None);
        write(&projects.join("any-name/b.jsonl"), &[&line]);
        looked(&mut transcripts, true);
        assert_eq!(looked(&mut transcripts, true), [""; 0], "it may be either");
        let mut transcripts = Transcripts::before(projects, &folder, Some("b"));
        assert_eq!(
            looked(&mut transcripts, true),
            [line.as_str()],
            "its name is known"
        );
    }
}
