//! The process's surroundings, taken once at the start, so that tests give their own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Environment variables and the folder that the command was called in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    variables: HashMap<String, String>,
    folder: PathBuf,
}

impl Environment {
    /// Of this process. Variables that are not Unicode are left out.
    pub(crate) fn of_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Environment {
            variables,
            folder: std::env::current_dir().unwrap_or_default(),
        }
    }

    /// For tests.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)], folder: &Path) -> Self {
        let variables = variables
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        Environment {
            variables,
            folder: folder.to_owned(),
        }
    }

    /// A variable's value; one that is set to nothing counts as not set.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Names and values of all variables that begin with `prefix`.
    pub(crate) fn variables(&self) -> &HashMap<String, String> {
        &self.variables
    }

    /// The folder that the command was called in.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where Claude Code keeps its settings and sessions.
    pub(crate) fn claude_folder(&self) -> Option<PathBuf> {
        let folder = self.get("CLAUDE_CONFIG_DIR").map(PathBuf::from);
        folder.or_else(|| Some(Path::new(self.get("HOME")?).join(".claude")))
    }

    /// The agent's name when no flag gives one: KULTI_AGENT, the repository's folder, or this folder.
    pub(crate) fn agent_name(&self) -> Option<String> {
        if let Some(name) = self.get("KULTI_AGENT") {
            return Some(name.to_owned());
        }
        let repository = self
            .folder
            .ancestors()
            .find(|folder| folder.join(".git").exists());
        let name = repository.unwrap_or(&self.folder).file_name()?.to_string_lossy();
        let name: String = name
            .chars()
            .filter(|character| !character.is_control())
            .take(128)
            .collect();
        let name = name.trim();
        (!name.is_empty()).then(|| name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_not_set() {
        let environment = Environment::of(&[("A", ""), ("B", "x")], Path::new("/"));
        assert_eq!((environment.get("A"), environment.get("B")), (None, Some("x")));
    }

    #[test]
    fn the_agent_is_named_after_the_repository_or_the_folder() {
        let root = tempfile::tempdir().expect("a folder");
        let inner = root.path().join("shop/src/deep");
        std::fs::create_dir_all(&inner).expect("folders");
        assert_eq!(Environment::of(&[], &inner).agent_name().as_deref(), Some("deep"));
        std::fs::create_dir(root.path().join("shop/.git")).expect("a repository");
        assert_eq!(Environment::of(&[], &inner).agent_name().as_deref(), Some("shop"));
        assert_eq!(Environment::of(&[], Path::new("/")).agent_name(), None);
        assert_eq!(
            Environment::of(&[("KULTI_AGENT", "nex")], &inner)
                .agent_name()
                .as_deref(),
            Some("nex")
        );
    }
}
