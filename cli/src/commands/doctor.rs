//! `kulti doctor`: checks everything that a server needs, and says how to mend what is wrong.

mod database;
mod log;
mod server;

use clap::Args;
use serde::Serialize;

use crate::args::ServerArguments;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::output::{Paint, print_line};
use crate::settings::{ConfigArguments, Settings};

/// Clocks that differ by more than this make times in sessions misleading.
const CLOCK_DIFFERENCE_MS: i64 = 2_000;

/// Flags of `kulti doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kulti doctor\n  kulti doctor --ready    # for a container's health check"
)]
pub(crate) struct DoctorArguments {
    /// Only ask the server that runs here whether it is ready
    #[arg(long)]
    ready: bool,
    /// One check per line, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
    #[command(flatten)]
    server: ServerArguments,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warning,
    Failed,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    verdict: Verdict,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Check {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Check {
            check,
            verdict: Verdict::Ok,
            detail: detail.into(),
            fix: None,
        }
    }
    fn warning(check: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Check {
            check,
            verdict: Verdict::Warning,
            detail: detail.into(),
            fix: Some(fix.into()),
        }
    }
    fn failed(check: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Check {
            check,
            verdict: Verdict::Failed,
            detail: detail.into(),
            fix: Some(fix.into()),
        }
    }
    fn clock(check: &'static str, difference_ms: i64, whose: &str) -> Self {
        if difference_ms.abs() < CLOCK_DIFFERENCE_MS {
            return Check::ok(check, format!("{difference_ms:+} ms against ours"));
        }
        let detail = format!("{whose} clock differs from ours by {difference_ms:+} ms");
        Check::warning(
            check,
            detail,
            "run NTP (chrony, systemd-timesyncd) on both machines",
        )
    }
}

/// Prints the checks; fails if one of them did.
pub(crate) async fn run(arguments: DoctorArguments, environment: &Environment) -> anyhow::Result<()> {
    let settings = Settings::load(&arguments.config, &[], environment)?;
    let url = arguments.server.url.as_deref();
    if arguments.ready {
        return server::ready(url, &settings, environment).await;
    }
    let printer = Printer {
        json: arguments.json,
        paint: Paint::for_stdout(environment),
    };
    let mut healthy = printer.print(configuration(&settings))?;
    if let Ok(kafka) = settings.kafka() {
        healthy &= printer.print(log::checks(kafka).await)?;
    }
    if let Ok(database) = settings.database() {
        healthy &= printer.print(database::checks(&database).await)?;
    }
    healthy &= printer.print(server::checks(url, environment).await)?;
    if healthy {
        Ok(())
    } else {
        Err(Failure::Reported.into())
    }
}

fn configuration(settings: &Settings) -> Vec<Check> {
    const CHECK: &str = "configuration";
    let parsed = [
        settings.listen().map(drop),
        settings.kafka().map(drop),
        settings.database().map(drop),
        settings.gateway().map(drop),
        settings.life().map(drop),
        settings.log_format().map(drop),
    ];
    let mut checks: Vec<Check> = parsed
        .into_iter()
        .filter_map(Result::err)
        .map(|error| {
            Check::failed(
                CHECK,
                format!("{error:#}"),
                "`kulti config` shows where each value comes from",
            )
        })
        .collect();
    checks.extend(settings.unknown_variables().iter().map(|name| {
        Check::warning(
            CHECK,
            format!("{name} means nothing"),
            "`kulti config` lists the variables; is it misspelt?",
        )
    }));
    if checks.is_empty() {
        let file = settings
            .file()
            .map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
        checks.push(Check::ok(CHECK, file));
    }
    checks
}

struct Printer {
    json: bool,
    paint: Paint,
}

impl Printer {
    /// True if none failed.
    fn print(&self, checks: Vec<Check>) -> anyhow::Result<bool> {
        let mut healthy = true;
        for check in checks {
            healthy &= check.verdict != Verdict::Failed;
            if self.json {
                print_line(serde_json::to_string(&check)?)?;
                continue;
            }
            let verdict = match check.verdict {
                Verdict::Ok => self.paint.green("ok     "),
                Verdict::Warning => self.paint.yellow("warning"),
                Verdict::Failed => self.paint.red("failed "),
            };
            print_line(format!(
                "{verdict}  {:<16} {}",
                check.check,
                crate::terminal_text::clean_line(&check.detail, 400)
            ))?;
            if let Some(fix) = check.fix {
                print_line(format!("         {:<16} fix: {fix}", ""))?;
            }
        }
        Ok(healthy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_a_little() {
        assert_eq!(Check::clock("clock", -1_900, "Postgres'").verdict, Verdict::Ok);
        let check = Check::clock("clock", 3_600_000, "Postgres'");
        assert_eq!(check.verdict, Verdict::Warning);
        assert!(check.fix.is_some());
    }
}
