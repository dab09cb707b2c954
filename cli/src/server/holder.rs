//! Who holds a port: from /proc on Linux, from lsof where there is no /proc.

use std::path::Path;
use std::process::{Command, Stdio};

/// `python3 (process 123)`, if this user may see it.
pub(super) fn holder(port: u16) -> Option<String> {
    let (pid, name) = from_proc(Path::new("/proc"), port).or_else(|| from_lsof(port))?;
    Some(format!("{name} (process {pid})"))
}

fn from_proc(proc: &Path, port: u16) -> Option<(u32, String)> {
    let tables =
        ["net/tcp", "net/tcp6"].map(|table| std::fs::read_to_string(proc.join(table)).unwrap_or_default());
    let inodes = tables
        .iter()
        .flat_map(|table| table.lines())
        .filter_map(|line| listening_inode(line, port));
    let sockets: Vec<String> = inodes.map(|inode| format!("socket:[{inode}]")).collect();
    if sockets.is_empty() {
        return None;
    }
    for entry in std::fs::read_dir(proc).ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Other users' processes cannot be looked into.
        let Ok(files) = std::fs::read_dir(entry.path().join("fd")) else {
            continue;
        };
        let holds = files
            .flatten()
            .filter_map(|file| std::fs::read_link(file.path()).ok())
            .any(|target| {
                target
                    .to_str()
                    .is_some_and(|target| sockets.iter().any(|socket| socket == target))
            });
        if holds {
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some((pid, crate::terminal_text::clean_line(&name, 40)));
        }
    }
    None
}

/// The socket's inode, if this line of /proc/net/tcp is a listener on the port.
fn listening_inode(line: &str, port: u16) -> Option<&str> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let local = fields.get(1)?.rsplit(':').next()?;
    let is_it = u16::from_str_radix(local, 16).ok()? == port && *fields.get(3)? == LISTEN;
    fields.get(9).copied().filter(|_| is_it)
}

fn from_lsof(port: u16) -> Option<(u32, String)> {
    let output = Command::new("lsof")
        .args(["-nP", &format!("-iTCP:{port}"), "-sTCP:LISTEN", "-Fpc"])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    read_lsof(&String::from_utf8_lossy(&output.stdout))
}

fn read_lsof(output: &str) -> Option<(u32, String)> {
    let pid = output
        .lines()
        .find_map(|line| line.strip_prefix('p'))?
        .parse()
        .ok()?;
    let name = output.lines().find_map(|line| line.strip_prefix('c'))?;
    Some((pid, crate::terminal_text::clean_line(name, 40)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_holder_of_a_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let holder = holder(port).expect("it is us");
        assert!(
            holder.ends_with(&format!("(process {})", std::process::id())),
            "{holder}"
        );
        drop(listener);
        assert_eq!(from_proc(Path::new("/proc"), port), None);
    }

    #[test]
    fn only_listeners_count() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0";
        assert_eq!(listening_inode(line, 8080), Some("12345"));
        assert_eq!(listening_inode(line, 8081), None);
        assert_eq!(listening_inode(&line.replace(" 0A ", " 01 "), 8080), None);
        assert_eq!(
            listening_inode("  sl  local_address rem_address   st", 8080),
            None
        );
    }

    #[test]
    fn what_lsof_says_is_read() {
        assert_eq!(read_lsof("p71\ncnode\nf20\n"), Some((71, "node".to_owned())));
        assert_eq!(read_lsof(""), None);
    }
}
