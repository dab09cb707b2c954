//! Where the servers are.

/// The servers that all tests share.
#[derive(Debug, Clone)]
pub struct TestStack {
    /// Bootstrap brokers.
    pub kafka: String,
    /// URL of a superuser's database.
    pub database_url: String,
}

impl TestStack {
    /// From `KULTI_TEST_KAFKA` and `KULTI_TEST_DATABASE`.
    ///
    /// # Panics
    /// Without them: a test that silently skips proves nothing.
    pub fn from_environment() -> Self {
        TestStack {
            kafka: variable("KULTI_TEST_KAFKA"),
            database_url: variable("KULTI_TEST_DATABASE"),
        }
    }
}

fn variable(name: &str) -> String {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => value,
        _ => panic!(
            "{name} is not set: this test needs real servers. Run `make test`, or \
             `dev/stack up && eval \"$(dev/stack env)\"` before `cargo test`"
        ),
    }
}
