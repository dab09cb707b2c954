//! Which files there are, what they are, and which of them tell one session.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use kulti_adapters::{DETECTION_BYTES, Format, detect};
use serde_json::Value;

/// Folders within folders; deeper there are no recordings.
const DEPTH: usize = 32;

/// A file that was found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) modified: Option<SystemTime>,
    /// `None`: none that can be read.
    pub(crate) format: Option<Format>,
    /// The source's own name of its session, where several files may tell one.
    session: Option<String>,
    /// Tells of a subagent.
    is_part: bool,
}

/// All files below the paths, each once, in order. What cannot be opened is given to `failed`.
pub(crate) fn find_sources(paths: &[PathBuf], mut failed: impl FnMut(&Path, &io::Error)) -> Vec<Found> {
    let mut files = Vec::new();
    for path in paths {
        walk(path, 0, &mut files, &mut failed);
    }
    files.sort();
    files.dedup();
    let mut found = Vec::new();
    for path in files {
        match look(path.clone()) {
            Ok(file) => found.push(file),
            Err(error) => failed(&path, &error),
        }
    }
    found
}

fn walk(path: &Path, depth: usize, files: &mut Vec<PathBuf>, failed: &mut impl FnMut(&Path, &io::Error)) {
    // What is named is followed, what is only found is not: links may lead in circles.
    let metadata = match depth {
        0 => fs::metadata(path),
        _ => fs::symlink_metadata(path),
    };
    let metadata = match metadata {
        Ok(metadata) => metadata,
        Err(error) => return failed(path, &error),
    };
    if metadata.is_file() {
        files.push(path.to_owned());
    } else if metadata.is_dir() && depth < DEPTH {
        match fs::read_dir(path) {
            Ok(entries) => {
                for entry in entries.flatten() {
                    walk(&entry.path(), depth + 1, files, failed);
                }
            }
            Err(error) => failed(path, &error),
        }
    }
}

/// Looks at the beginning of the file.
fn look(path: PathBuf) -> io::Result<Found> {
    let file = File::open(&path)?;
    let metadata = file.metadata()?;
    let mut beginning = Vec::new();
    file.take(DETECTION_BYTES as u64).read_to_end(&mut beginning)?;
    let format = detect(&beginning);
    let (session, is_part) = match format {
        Some(Format::ClaudeTranscript) => session_of(&beginning),
        _ => (None, false),
    };
    Ok(Found {
        path,
        bytes: metadata.len(),
        modified: metadata.modified().ok(),
        format,
        session,
        is_part,
    })
}

/// The session that a transcript tells of, and whether it is a subagent's part of it.
fn session_of(beginning: &[u8]) -> (Option<String>, bool) {
    let lines = beginning.split(|byte| *byte == b'\n').take(200);
    let records = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    for record in records {
        if let Some(session) = record["sessionId"].as_str() {
            let is_part = record["isSidechain"] == true && record["agentId"].is_string();
            return (Some(session.to_owned()), is_part);
        }
    }
    (None, false)
}

/// The files that can be read, those of one session together, its own before its subagents'.
pub(crate) fn groups(found: &[Found]) -> Vec<Vec<&Found>> {
    let mut groups: Vec<Vec<&Found>> = Vec::new();
    let mut by_session: BTreeMap<&str, usize> = BTreeMap::new();
    for file in found.iter().filter(|file| file.format.is_some()) {
        let known = file
            .session
            .as_deref()
            .and_then(|session| by_session.get(session).copied());
        match (known, &file.session) {
            (Some(index), _) => groups[index].push(file),
            (None, session) => {
                if let Some(session) = session {
                    by_session.insert(session, groups.len());
                }
                groups.push(vec![file]);
            }
        }
    }
    for group in &mut groups {
        group.sort_by_key(|file| file.is_part);
    }
    groups
}
