//! Processes of our own: each contender and each load is one, told as JSON and answering in lines of JSON. One whose
//! standard input ends, ends.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines, Stdin};
use tokio::process::{ChildStdin, ChildStdout, Command};

use crate::process;
use crate::roles::Role;

/// Whatever is asked is answered within this, or something is wrong.
const ANSWER: Duration = Duration::from_secs(180);
const END: Duration = Duration::from_secs(15);

/// The parent's side.
pub(crate) struct Child {
    role: Role,
    pid: u32,
    process: tokio::process::Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts this very executable in a role.
    pub(crate) fn start(role: Role, spec: &impl Serialize) -> anyhow::Result<Child> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("role")
            .arg(role.name())
            .arg(serde_json::to_string(spec)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {role:?}"))?;
        let pid = process.id().context("it ended at once")?;
        let input = process.stdin.take().context("no standard input")?;
        let output = process.stdout.take().context("no standard output")?;
        Ok(Child {
            role,
            pid,
            process,
            input,
            output: BufReader::new(output).lines(),
        })
    }

    /// Its next line.
    pub(crate) async fn hear<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let role = self.role;
        let line = tokio::time::timeout(ANSWER, self.output.next_line())
            .await
            .with_context(|| format!("{role:?} does not answer"))??
            .with_context(|| format!("{role:?} ended"))?;
        serde_json::from_str(&line).with_context(|| format!("{role:?} said {line}"))
    }

    /// Tells it something.
    pub(crate) async fn tell(&mut self, what: &impl Serialize) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(what)?;
        line.push(b'\n');
        let told = self.input.write_all(&line).await;
        told.with_context(|| format!("{:?} does not listen", self.role))
    }

    /// Tells it something and waits for the answer.
    pub(crate) async fn ask<T: DeserializeOwned>(&mut self, what: &impl Serialize) -> anyhow::Result<T> {
        self.tell(what).await?;
        self.hear().await
    }

    /// Processor time so far.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        process::cpu_seconds(self.pid)
    }

    /// Resident memory now.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<f64> {
        process::resident_bytes(self.pid)
    }

    /// Lets it end.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        drop(self.input);
        match tokio::time::timeout(END, self.process.wait()).await {
            Ok(status) => {
                let status = status?;
                anyhow::ensure!(status.success(), "{:?} ended with {status}", self.role);
                Ok(())
            }
            Err(_) => {
                self.process.kill().await?;
                anyhow::bail!("{:?} did not end", self.role)
            }
        }
    }
}

/// The child's side.
pub(crate) struct Parent {
    lines: Lines<BufReader<Stdin>>,
}

impl Parent {
    pub(crate) fn new() -> Self {
        Parent {
            lines: BufReader::new(tokio::io::stdin()).lines(),
        }
    }

    /// What it says next; `None` when it is time to end.
    pub(crate) async fn hear<T: DeserializeOwned>(&mut self) -> anyhow::Result<Option<T>> {
        match self.lines.next_line().await? {
            Some(line) => Ok(Some(serde_json::from_str(&line)?)),
            None => Ok(None),
        }
    }

    /// Waits until it is time to end.
    pub(crate) async fn gone(&mut self) -> anyhow::Result<()> {
        while self.lines.next_line().await?.is_some() {}
        Ok(())
    }

    /// Tells it something.
    pub(crate) fn say(&self, what: &impl Serialize) -> anyhow::Result<()> {
        println!("{}", serde_json::to_string(what)?);
        Ok(())
    }
}
