//! The command line itself: help, exit codes, and what works with no server anywhere.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// `kulti` with nothing of this machine's user in its environment, and a server that is not there.
fn kulti(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kulti"));
    command
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .current_dir(home);
    command
        .env("KULTI_URL", "http://127.0.0.1:1")
        .env("KULTI_KAFKA_BROKERS", "127.0.0.1:1");
    command
        .env("KULTI_DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/none")
        .stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().expect("a folder");
    kulti(home.path(), arguments).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Every command, by what `kulti --help` lists.
fn commands() -> Vec<String> {
    let help = text(&run(&["--help"]).stdout);
    let list = help
        .split("Commands:")
        .nth(1)
        .expect("a list of commands")
        .split("\n\n")
        .next()
        .expect("its lines");
    let names = list
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    names
        .filter(|name| *name != "help" && !name.starts_with('-'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_has_help_with_an_example() {
    let commands = commands();
    assert!(commands.len() >= 8, "{commands:?}");
    for command in commands {
        let output = run(&[&command, "--help"]);
        assert!(output.status.success(), "{command}");
        let help = text(&output.stdout);
        assert!(help.contains("Example"), "{command} has no example:\n{help}");
        assert!(!help.contains('\u{1b}'), "{command} colours a pipe");
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let wrong: [&[&str]; 9] = [
        &["no-such-command"],
        &["replay"],
        &["replay", "s", "--speed", "0"],
        &["tail", "s", "--from", "yesterday"],
        &["send", "thought", "no session"],
        &["send", "--session", "s", "tool.started", "no single text"],
        &["send", "--session", "s", "thought", "x", "--data", "{"],
        &["sessions", "--url", "ftp://x"],
        &["config", "--set", "lisen=1"],
    ];
    for arguments in wrong {
        let output = run(arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_server_that_is_not_there_is_exit_code_1_and_says_what_to_do() {
    for arguments in [
        &["sessions"][..],
        &["replay", "s"],
        &["tail", "s"],
        &["keys", "list"],
    ] {
        let output = run(arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(
            error.contains("http://127.0.0.1:1") && error.contains("kulti serve"),
            "{arguments:?}: {error}"
        );
    }
}

#[test]
fn what_could_not_be_sent_is_named_by_its_id() {
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let output = run(&[
        "send",
        "--session",
        "s",
        "thought",
        "x",
        "--id",
        id,
        "--patience",
        "0",
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let result = text(&output.stdout);
    assert!(result.contains(id) && result.contains("\"retry\""), "{result}");
}

#[test]
fn broken_lines_are_reported_with_their_number_and_the_rest_is_sent() {
    let home = tempfile::tempdir().expect("a folder");
    let mut child = kulti(home.path(), &["send", "--session", "s", "-", "--patience", "0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let lines = b"{\"kind\":\"thought\",\"data\":{\"content\":\"x\"}}\n\n{broken\n\xff\n";
    child
        .stdin
        .take()
        .expect("its input")
        .write_all(lines)
        .expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    let (results, notes) = (text(&output.stdout), text(&output.stderr));
    assert!(
        results.contains("line 3: not a JSON object") && results.contains("line 4:"),
        "{results}"
    );
    assert!(notes.contains("0 accepted, 2 rejected, 1 not sent"), "{notes}");
}

#[test]
fn secrets_are_not_printed() {
    for arguments in [
        &["config"][..],
        &["config", "--json"],
        &["keys", "list", "--database"],
    ] {
        let output = run(arguments);
        let all = text(&output.stdout) + &text(&output.stderr);
        assert!(!all.contains("hunter2"), "{arguments:?}: {all}");
    }
}

#[test]
fn config_says_where_each_value_comes_from() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join(".config/kulti");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(
        folder.join("kulti.toml"),
        "public_url = \"https://kulti.example\"\n",
    )
    .expect("written");
    let output = kulti(home.path(), &["config", "--set", "open_writes=1"])
        .output()
        .expect("it runs");
    let shown = text(&output.stdout);
    let line = |name: &str| {
        shown
            .lines()
            .find(|line| line.starts_with(name))
            .expect("the setting")
            .to_owned()
    };
    assert!(
        line("public_url").contains("https://kulti.example") && line("public_url").contains("kulti.toml")
    );
    assert!(line("kafka.brokers").contains("KULTI_KAFKA_BROKERS"));
    assert!(line("open_writes").contains("--set"));
    assert!(line("listen").contains("default"));
    assert!(output.status.success());
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let home = tempfile::tempdir().expect("a folder");
    let mut child = kulti(home.path(), &["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(
        (output.status.code(), text(&output.stderr).as_str()),
        (Some(0), "")
    );
}

#[test]
fn a_key_that_cannot_be_checked_is_not_stored() {
    let home = tempfile::tempdir().expect("a folder");
    let mut child = kulti(home.path(), &["login", "http://127.0.0.1:1"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    child
        .stdin
        .take()
        .expect("its input")
        .write_all(b"kulti_a_b\n")
        .expect("written");
    assert_eq!(child.wait_with_output().expect("it ends").status.code(), Some(1));
    assert!(!home.path().join(".config/kulti/credentials.json").exists());
}

#[test]
fn ctrl_c_is_exit_code_130() {
    let home = tempfile::tempdir().expect("a folder");
    let mut child = kulti(home.path(), &["send", "--session", "s", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut input = child.stdin.take().expect("its input");
    input
        .write_all(b"{\"kind\":\"thought\",\"data\":{}}\n")
        .expect("written");
    // Its first note says that it runs, and with it that Ctrl-C is heard.
    let mut first = [0];
    std::io::Read::read_exact(child.stderr.as_mut().expect("its notes"), &mut first).expect("a note");
    let interrupt = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .expect("kill runs");
    assert!(interrupt.success());
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    drop(input);
}

#[test]
fn a_taken_port_names_its_holder_and_the_flag() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for command in ["serve", "gateway"] {
        let output = run(&[command, "--listen", &address]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(&address) && error.contains("--listen"), "{error}");
        #[cfg(target_os = "linux")]
        assert!(
            error.contains(&format!("(process {})", std::process::id())),
            "{error}"
        );
    }
}

#[test]
fn doctor_names_every_thing_that_is_wrong_and_its_fix() {
    let output = run(&["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let checks = text(&output.stdout);
    for wrong in ["broker", "database"] {
        let line = checks
            .lines()
            .find(|line| line.contains(&format!("\"check\":\"{wrong}\"")))
            .expect("the check");
        assert!(line.contains("\"failed\"") && line.contains("\"fix\""), "{line}");
    }
    assert!(!checks.contains("hunter2"), "{checks}");
    assert_eq!(run(&["doctor", "--ready"]).status.code(), Some(1));
}

#[test]
fn a_role_without_its_database_says_which_one() {
    for arguments in [
        &["migrate"][..],
        &["migrate", "--check"],
        &["keys", "list", "--database"],
    ] {
        let output = run(arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(error.contains("127.0.0.1:1/none"), "{arguments:?}: {error}");
    }
}
