//! What the server is told, and where each value comes from: flags, then `KULTI_*`, then a TOML file, then the default.
//!
//! The file is the one that --config or KULTI_CONFIG names, else `~/.config/kulti/kulti.toml`, else
//! `/etc/kulti/kulti.toml`. A name with a dot is a table there: `kafka.brokers` is `brokers` in `[kafka]`.

mod table;
mod values;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

pub(crate) use self::table::{SETTINGS, Setting};
use crate::environment::Environment;
use crate::failure::usage;
use crate::state::Folders;

/// Variables that are for clients and tests, not for the server.
const OTHER_VARIABLES: [&str; 6] = [
    "KULTI_URL",
    "KULTI_API_KEY",
    "KULTI_SESSION",
    "KULTI_AGENT",
    "KULTI_SPOOL_BYTES",
    "KULTI_CONFIG",
];
const OTHER_PREFIXES: [&str; 2] = ["KULTI_TEST_", "KULTI_STACK_"];
const SYSTEM_FILE: &str = "/etc/kulti/kulti.toml";

/// Flags that every command of the server takes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigArguments {
    /// The TOML file [env: KULTI_CONFIG] [default: ~/.config/kulti/kulti.toml]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A value by its name in the file, such as kafka.brokers=127.0.0.1:9092; `kulti config` lists them all
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(String),
    Variable(&'static str),
    File(PathBuf),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(flag) => formatter.write_str(flag),
            Origin::Variable(name) => formatter.write_str(name),
            Origin::File(file) => write!(formatter, "{}", file.display()),
            Origin::Default => formatter.write_str("default"),
        }
    }
}

/// Everything that is in force.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    values: BTreeMap<&'static str, (String, Origin)>,
    file: Option<PathBuf>,
    unknown_variables: Vec<String>,
}

/// What is masked on this machine: the same settings as the server's.
pub(crate) fn masking_policy(environment: &Environment) -> anyhow::Result<kulti_masking::Policy> {
    Settings::load(&ConfigArguments::default(), &[], environment)?.masking()
}

impl Settings {
    /// Reads flags, environment and file. `flags` are those of the command itself, by the setting's name.
    pub(crate) fn load(
        arguments: &ConfigArguments,
        flags: &[(&'static str, &'static str, Option<String>)],
        environment: &Environment,
    ) -> anyhow::Result<Self> {
        let file = config_file(arguments, environment)?;
        let from_file = match &file {
            Some(file) => read_file(file)?,
            None => BTreeMap::new(),
        };
        let set = set_flags(&arguments.set)?;
        let mut values = BTreeMap::new();
        for setting in SETTINGS {
            let own = flags
                .iter()
                .find(|(name, _, value)| *name == setting.name && value.is_some());
            let value = if let Some((_, flag, Some(value))) = own {
                (value.clone(), Origin::Flag((*flag).to_owned()))
            } else if let Some(value) = set.get(setting.name) {
                (value.clone(), Origin::Flag("--set".to_owned()))
            } else if let Some(value) = environment.get(setting.variable) {
                (value.to_owned(), Origin::Variable(setting.variable))
            } else if let (Some(value), Some(file)) = (from_file.get(setting.name), &file) {
                (value.clone(), Origin::File(file.clone()))
            } else {
                (setting.default.to_owned(), Origin::Default)
            };
            values.insert(setting.name, value);
        }
        Ok(Settings {
            values,
            file,
            unknown_variables: unknown_variables(environment),
        })
    }

    /// The value and where it comes from.
    pub(crate) fn get(&self, name: &'static str) -> (&str, &Origin) {
        match self.values.get(name) {
            Some((value, origin)) => (value, origin),
            None => ("", &Origin::Default),
        }
    }

    /// Replaces a default: what is said anywhere stays.
    pub(crate) fn set_default(&mut self, name: &'static str, value: &str) {
        if let Some(entry) = self.values.get_mut(name)
            && entry.1 == Origin::Default
        {
            entry.0 = value.to_owned();
        }
    }

    /// The file that was read, if there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// `KULTI_*` variables that mean nothing: misspelt, most likely.
    pub(crate) fn unknown_variables(&self) -> &[String] {
        &self.unknown_variables
    }
}

fn config_file(arguments: &ConfigArguments, environment: &Environment) -> anyhow::Result<Option<PathBuf>> {
    let named = arguments
        .config
        .clone()
        .or_else(|| environment.get("KULTI_CONFIG").map(PathBuf::from));
    if let Some(named) = named {
        let file = environment.folder().join(named);
        return if file.is_file() {
            Ok(Some(file))
        } else {
            Err(usage(format!("there is no file {}", file.display())))
        };
    }
    let own = Folders::of(environment).config_file();
    Ok(own
        .into_iter()
        .chain([PathBuf::from(SYSTEM_FILE)])
        .find(|file| file.is_file()))
}

/// The file's values by dotted name, each as text.
fn read_file(file: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let tree: toml::Table = text
        .parse()
        .with_context(|| format!("{} is no TOML", file.display()))?;
    let mut values = BTreeMap::new();
    flatten("", &tree, &mut values);
    match values.keys().find(|name| !is_known(name)) {
        Some(unknown) => anyhow::bail!(
            "{}: there is no setting `{unknown}`; `kulti config` lists them",
            file.display()
        ),
        None => Ok(values),
    }
}

fn flatten(prefix: &str, tree: &toml::Table, values: &mut BTreeMap<String, String>) {
    for (name, value) in tree {
        let name = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            toml::Value::Table(inner) if is_known(&name) => {
                let pairs: Vec<String> = inner
                    .iter()
                    .map(|(name, value)| format!("{name}={}", text(value)))
                    .collect();
                values.insert(name, pairs.join(","));
            }
            toml::Value::Table(inner) => flatten(&name, inner, values),
            value => drop(values.insert(name, text(value))),
        }
    }
}

fn text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn set_flags(set: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    for pair in set {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(usage(format!("--set {pair}: write it as NAME=VALUE")));
        };
        if !is_known(name) {
            return Err(usage(format!(
                "there is no setting `{name}`; `kulti config` lists them"
            )));
        }
        values.insert(name.to_owned(), value.to_owned());
    }
    Ok(values)
}

fn is_known(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.name == name)
}

fn unknown_variables(environment: &Environment) -> Vec<String> {
    let mut unknown: Vec<String> = environment
        .variables()
        .keys()
        .filter(|name| name.starts_with("KULTI_"))
        .filter(|name| !OTHER_VARIABLES.contains(&name.as_str()))
        .filter(|name| !OTHER_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
        .filter(|name| !SETTINGS.iter().any(|setting| setting.variable == name.as_str()))
        .cloned()
        .collect();
    unknown.sort();
    unknown
}

#[cfg(test)]
mod tests;
