//! What `kulti` remembers between two calls: the server that runs here, and keys by server.
//!
//! `$XDG_STATE_HOME/kulti/server.json` is written by `serve` and removed when it ends;
//! `$XDG_CONFIG_HOME/kulti/credentials.json` is written by `login`. Both are for their owner's eyes only (0600).

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::environment::Environment;

/// A server that runs on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunningServer {
    /// Where it answers.
    pub(crate) url: String,
    /// Its process.
    pub(crate) pid: u32,
    /// Whether it is `kulti demo`.
    #[serde(default)]
    pub(crate) demo: bool,
    /// The agents that the demo streams.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) agents: Vec<String>,
}

impl RunningServer {
    /// This process; where it answers is yet to be filled in.
    pub(crate) fn here() -> Self {
        RunningServer {
            url: String::new(),
            pid: std::process::id(),
            demo: false,
            agents: Vec::new(),
        }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Credentials {
    /// Key by origin.
    #[serde(default)]
    servers: BTreeMap<String, Credential>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Credential {
    key: String,
}

/// The folders of the person who calls; `None` where neither XDG nor HOME says.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    state: Option<PathBuf>,
    config: Option<PathBuf>,
}

impl Folders {
    /// From XDG_STATE_HOME, XDG_CONFIG_HOME and HOME.
    pub(crate) fn of(environment: &Environment) -> Self {
        let folder = |name: &str, below_home: &str| {
            // The XDG specification: a relative path is to be ignored.
            let own = environment
                .get(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute());
            let home = environment
                .get("HOME")
                .map(|home| Path::new(home).join(below_home));
            own.or(home).map(|folder| folder.join("kulti"))
        };
        Folders {
            state: folder("XDG_STATE_HOME", ".local/state"),
            config: folder("XDG_CONFIG_HOME", ".config"),
        }
    }

    /// The TOML file that configures the server, if nobody names another.
    pub(crate) fn config_file(&self) -> Option<PathBuf> {
        Some(self.config.as_ref()?.join("kulti.toml"))
    }

    /// Where runs keep what is not sent yet.
    pub(crate) fn runs(&self) -> Option<PathBuf> {
        Some(self.state.as_ref()?.join("runs"))
    }

    fn server_file(&self) -> Option<PathBuf> {
        Some(self.state.as_ref()?.join("server.json"))
    }

    fn credentials_file(&self) -> Option<PathBuf> {
        Some(self.config.as_ref()?.join("credentials.json"))
    }

    /// The server that `serve` recorded last; it may be gone without having said so.
    pub(crate) fn running_server(&self) -> Option<RunningServer> {
        let text = std::fs::read(self.server_file()?).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Records a server.
    pub(crate) fn record_server(&self, server: &RunningServer) -> anyhow::Result<()> {
        let file = self
            .server_file()
            .context("neither XDG_STATE_HOME nor HOME is set")?;
        write_private(&file, &serde_json::to_vec_pretty(server)?)
    }

    /// Forgets the server of this process; another's record stays.
    pub(crate) fn forget_server(&self, pid: u32) {
        if let (Some(file), Some(server)) = (self.server_file(), self.running_server())
            && server.pid == pid
        {
            std::fs::remove_file(file).ok();
        }
    }

    /// The key for a server, by its origin.
    pub(crate) fn key_for(&self, origin: &str) -> anyhow::Result<Option<String>> {
        Ok(self
            .read_credentials()?
            .servers
            .remove(origin)
            .map(|credential| credential.key))
    }

    /// Stores a key, and says where.
    pub(crate) fn store_key(&self, origin: &str, key: &str) -> anyhow::Result<PathBuf> {
        let file = self
            .credentials_file()
            .context("neither XDG_CONFIG_HOME nor HOME is set")?;
        let mut credentials = self.read_credentials()?;
        credentials
            .servers
            .insert(origin.to_owned(), Credential { key: key.to_owned() });
        write_private(&file, &serde_json::to_vec_pretty(&credentials)?)?;
        Ok(file)
    }

    /// Forgets a key; false if there was none.
    pub(crate) fn forget_key(&self, origin: &str) -> anyhow::Result<bool> {
        let mut credentials = self.read_credentials()?;
        let known = credentials.servers.remove(origin).is_some();
        if let (true, Some(file)) = (known, self.credentials_file()) {
            write_private(&file, &serde_json::to_vec_pretty(&credentials)?)?;
        }
        Ok(known)
    }

    fn read_credentials(&self) -> anyhow::Result<Credentials> {
        let Some(file) = self.credentials_file() else {
            return Ok(Credentials::default());
        };
        match std::fs::read(&file) {
            Ok(text) => {
                serde_json::from_slice(&text).with_context(|| format!("{} is broken", file.display()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Credentials::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }
}

/// Writes beside the file and renames, so that a reader never sees half of it, and nobody else ever sees it.
fn write_private(file: &Path, text: &[u8]) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        if let Some(folder) = file.parent() {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        let beside = file.with_extension(format!("{}.tmp", std::process::id()));
        std::fs::remove_file(&beside).ok();
        let mut out = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        out.write_all(text)?;
        out.sync_all()?;
        std::fs::rename(&beside, file)
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folders(root: &Path) -> Folders {
        Folders::of(&Environment::of(
            &[("HOME", root.to_str().expect("a path"))],
            root,
        ))
    }

    #[test]
    fn keys_are_kept_by_server_and_only_their_owner_can_read_them() {
        let home = tempfile::tempdir().expect("a folder");
        let folders = folders(home.path());
        let file = folders
            .store_key("https://a.example", "kulti_a_1")
            .expect("stored");
        folders
            .store_key("https://b.example", "kulti_b_2")
            .expect("stored");
        assert_eq!(file, home.path().join(".config/kulti/credentials.json"));
        let mode = std::fs::metadata(&file).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            folders.key_for("https://a.example").expect("read").as_deref(),
            Some("kulti_a_1")
        );
        assert!(folders.forget_key("https://a.example").expect("written"));
        assert_eq!(folders.key_for("https://a.example").expect("read"), None);
        assert_eq!(
            folders.key_for("https://b.example").expect("read").as_deref(),
            Some("kulti_b_2")
        );
    }

    #[test]
    fn a_server_forgets_only_its_own_record() {
        let home = tempfile::tempdir().expect("a folder");
        let folders = folders(home.path());
        let server = RunningServer {
            url: "http://127.0.0.1:1".to_owned(),
            pid: 7,
            demo: false,
            agents: Vec::new(),
        };
        folders.record_server(&server).expect("recorded");
        folders.forget_server(8);
        assert_eq!(folders.running_server(), Some(server));
        folders.forget_server(7);
        assert_eq!(folders.running_server(), None);
    }

    #[test]
    fn xdg_folders_win_over_home_unless_relative() {
        let xdg = [
            ("HOME", "/home/x"),
            ("XDG_STATE_HOME", "/s"),
            ("XDG_CONFIG_HOME", "c"),
        ];
        let folders = Folders::of(&Environment::of(&xdg, Path::new("/")));
        assert_eq!(folders.server_file(), Some(PathBuf::from("/s/kulti/server.json")));
        assert_eq!(
            folders.config_file(),
            Some(PathBuf::from("/home/x/.config/kulti/kulti.toml"))
        );
        assert_eq!(
            Folders::of(&Environment::of(&[], Path::new("/"))).server_file(),
            None
        );
    }

    #[test]
    fn a_broken_credentials_file_is_named() {
        let home = tempfile::tempdir().expect("a folder");
        let folders = folders(home.path());
        let file = folders.store_key("http://x", "k").expect("stored");
        std::fs::write(&file, "{").expect("written");
        let error = folders.key_for("http://x").expect_err("broken");
        assert!(format!("{error:#}").contains("credentials.json is broken"));
    }
}
