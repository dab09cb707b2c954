//! What `kulti run` says itself: before the command begins, and one line when it has ended.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use kulti_runner::run::Ended;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde_json::json;

use super::RunArguments;
use crate::output::{note, print_line};

/// Says where it can be watched. Nothing where nobody reads along.
pub(super) fn at_start(
    arguments: &RunArguments,
    session: &str,
    url: &str,
    detached: bool,
) -> std::io::Result<()> {
    let about = json!({"session": session, "url": url, "pid": std::process::id()});
    if detached {
        // For the process that put us here, which waits for this line.
        return print_line(about);
    }
    if arguments.json {
        note(&about.to_string());
    } else if stderr().is_terminal() {
        note(&format!("recording, {}: {url}", arguments.visibility.name()));
        if let (false, Some(code)) = (arguments.no_qr, qr_code(url)) {
            note(&code);
        }
    }
    Ok(())
}

fn qr_code(url: &str) -> Option<String> {
    let code = QrCode::new(url).ok()?;
    // Light on dark, as most terminals are: the quiet zone must be the light one.
    let mut image = code.render::<Dense1x2>();
    image.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark);
    Some(image.build())
}

/// One line: how long, how it ended, what was done, and where it is.
pub(super) fn at_end(arguments: &RunArguments, session: &str, url: &str, ended: &Ended, goes_on: bool) {
    let tally = &ended.tally;
    if arguments.json {
        let line = json!({
            "session": session, "url": url, "code": ended.code, "duration_ms": ended.took.as_millis() as u64,
            "events": tally.events, "printed_bytes": tally.printed, "edits": tally.edits,
            "tests_passed": tally.tests_passed, "tests_failed": tally.tests_failed, "cost_usd": tally.cost_usd,
            "masked": tally.masked, "unsent": ended.unsent, "problem": ended.problem,
        });
        note(&line.to_string());
        return;
    }
    let mut parts = vec![
        format!("kulti: {}", duration(ended.took)),
        format!("exit {}", ended.code),
    ];
    if tally.edits > 0 {
        parts.push(format!("{} edits", tally.edits));
    }
    match (tally.tests_passed, tally.tests_failed) {
        (0, 0) => {}
        (passed, 0) => parts.push(format!("{passed} tests passed")),
        (passed, failed) => parts.push(format!("{passed} tests passed, {failed} failed")),
    }
    if let Some(cost) = tally.cost_usd {
        parts.push(format!("${cost:.2}"));
    }
    if tally.masked > 0 {
        parts.push(format!("{} secrets masked", tally.masked));
    }
    parts.push(url.to_owned());
    note(&parts.join(" · "));
    if ended.unsent > 0 {
        let reason = ended
            .problem
            .as_deref()
            .map(|problem| format!(" ({problem})"))
            .unwrap_or_default();
        let next = if goes_on {
            "a process in the background sends them"
        } else {
            "`kulti run --drain` sends them"
        };
        note(&format!(
            "kulti: {} events wait on disk{reason}; {next}, `kulti run --status` tells",
            ended.unsent
        ));
    }
}

fn duration(took: Duration) -> String {
    let seconds = took.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, _) => format!("{:.1}s", took.as_secs_f64()),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes:02}m{seconds:02}s"),
    }
}

/// As shells have it: 127 for a command that is not there, 126 for one that cannot be run.
pub(super) fn start_code(error: &std::io::Error) -> u8 {
    match error.kind() {
        std::io::ErrorKind::NotFound => 127,
        std::io::ErrorKind::PermissionDenied => 126,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_to_read() {
        let said = [0.25, 59.94, 61.0, 3_725.0].map(|seconds| duration(Duration::from_secs_f64(seconds)));
        assert_eq!(said, ["0.2s", "59.9s", "1m01s", "1h02m05s"]);
    }

    #[test]
    fn the_qr_code_of_a_session_fits_on_a_terminal() {
        let url = "https://kulti.example/s/01a1fb99-70d8-7778-bc66-4c9df322dc39";
        let code = qr_code(url).expect("a code");
        assert!(
            code.lines().count() <= 24 && code.lines().all(|line| line.chars().count() <= 60),
            "{code}"
        );
    }
}
