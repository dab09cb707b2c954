//! What must stay true of the schemas for ever: compatible with each other, frozen once released, and readable with
//! other people's tools.

#![allow(
    clippy::unwrap_used,
    reason = "all of this crate is tests; clippy only sees that of #[test] functions"
)]

mod compatible;
mod frozen;
mod kcat;
mod samples;

use std::path::{Path, PathBuf};

fn crate_path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

fn read(relative: &str) -> Vec<u8> {
    let path = crate_path(relative);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn read_text(relative: &str) -> String {
    String::from_utf8(read(relative)).unwrap()
}
