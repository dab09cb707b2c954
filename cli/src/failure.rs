//! How a command fails, and the exit code of each failure.

use std::io::ErrorKind;

use kulti_runner::error::ClientError;
use kulti_runner::problem::Problem;

/// A failure with an exit code of its own; everything else is 1.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line asks for something that cannot be: 2.
    #[error("{0}")]
    Usage(String),
    /// Ctrl-C: 130.
    #[error("interrupted")]
    Interrupted,
    /// What `kulti run` ran ended with this.
    #[error("the command ended with {0}")]
    Exit(u8),
    /// The command has already said what failed: 1, and nothing more to print.
    #[error("failed")]
    Reported,
}

/// What the server said, if the failure is its answer.
pub(crate) fn problem(error: &anyhow::Error) -> Option<&Problem> {
    error.downcast_ref::<ClientError>()?.problem()
}

/// Whether the same may work later: the network's failure, or a server that is busy.
pub(crate) fn is_passing(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<ClientError>()
        .is_some_and(ClientError::is_passing)
}

/// A usage error.
pub(crate) fn usage(text: impl Into<String>) -> anyhow::Error {
    Failure::Usage(text.into()).into()
}

/// The exit code, and what to print on standard error.
pub(crate) fn exit_code(error: &anyhow::Error) -> (u8, Option<String>) {
    if is_broken_pipe(error) {
        return (0, None);
    }
    match error.downcast_ref::<Failure>() {
        Some(Failure::Usage(text)) => (2, Some(format!("error: {text}"))),
        Some(Failure::Interrupted) => (130, None),
        Some(Failure::Exit(code)) => (*code, None),
        Some(Failure::Reported) => (1, None),
        None => (1, Some(format!("error: {error:#}"))),
    }
}

/// Whether whoever read our standard output has gone. Only our own writes to it are plain
/// `std::io::Error`s at the top of a chain: a socket's are wrapped by the client.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<std::io::Error>(), Some(error) if error.kind() == ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_standard_output_is_no_failure() {
        let error = anyhow::Error::from(std::io::Error::from(ErrorKind::BrokenPipe));
        assert_eq!(exit_code(&error), (0, None));
    }

    #[test]
    fn wrong_usage_is_two_and_ctrl_c_130() {
        assert_eq!(exit_code(&usage("no")).0, 2);
        assert_eq!(exit_code(&Failure::Interrupted.into()), (130, None));
        assert_eq!(exit_code(&anyhow::anyhow!("no")).0, 1);
    }
}
