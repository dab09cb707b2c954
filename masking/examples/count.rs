//! Counts what the rules find where nothing should be: `cargo run -p kulti-masking --example count -- [--show] PATH…`
//!
//! Walks files and folders, and prints matches and matches per MB by rule, and how fast it was. With `--show`, each
//! match with 30 bytes before it, so that one can say whether it is a secret: not for files with real ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kulti_masking::Masker;

fn main() -> std::io::Result<()> {
    let (flags, paths): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|argument| argument == "--show");
    let mut count = Count::default();
    for path in paths {
        count.walk(Path::new(&path), !flags.is_empty())?;
    }
    let megabytes = count.bytes as f64 / 1e6;
    let total: u64 = count.by_rule.values().sum();
    for (rule, matches) in &count.by_rule {
        println!("{matches:8}  {:8.3}/MB  {rule}", *matches as f64 / megabytes);
    }
    println!(
        "{total:8}  {:8.3}/MB  in {} files, {megabytes:.1} MB, {:.0} MB/s",
        total as f64 / megabytes,
        count.files,
        megabytes / count.masking.as_secs_f64()
    );
    Ok(())
}

#[derive(Default)]
struct Count {
    masker: Masker,
    files: u64,
    bytes: u64,
    masking: Duration,
    by_rule: BTreeMap<&'static str, u64>,
}

impl Count {
    fn walk(&mut self, path: &Path, show: bool) -> std::io::Result<()> {
        if path.is_symlink() {
            return Ok(());
        }
        if path.is_dir() {
            let mut inner: Vec<PathBuf> = std::fs::read_dir(path)?
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<Result<_, _>>()?;
            inner.sort();
            return inner.iter().try_for_each(|path| self.walk(path, show));
        }
        let bytes = std::fs::read(path)?;
        // Archives, pictures, programs: nobody prints them.
        if !bytes[..bytes.len().min(8192)].contains(&0) {
            self.count(&bytes, path, show);
        }
        Ok(())
    }

    fn count(&mut self, bytes: &[u8], path: &Path, show: bool) {
        let begun = Instant::now();
        let masked = self.masker.mask_bytes(bytes);
        self.masking += begun.elapsed();
        self.files += 1;
        self.bytes += bytes.len() as u64;
        for (rule, matches) in masked.counts.iter() {
            *self.by_rule.entry(rule).or_default() += matches;
        }
        if show && !masked.counts.is_empty() {
            self.show(bytes, path);
        }
    }

    /// Line by line, so that what was masked stands beside what it became.
    fn show(&self, bytes: &[u8], path: &Path) {
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let masked = self.masker.mask_bytes(line);
            if masked.counts.is_empty() {
                continue;
            }
            let rules: Vec<&str> = masked.counts.iter().map(|(rule, _)| rule).collect();
            let place = format!("{}:{}", path.display(), number + 1);
            // From shortly before where the line and its masked form part.
            let differs = line
                .iter()
                .zip(&*masked.bytes)
                .take_while(|(a, b)| a == b)
                .count();
            let shown = &line[differs.saturating_sub(30)..line.len().min(differs + 80)];
            println!(
                "{place}: {}: {}",
                rules.join(", "),
                String::from_utf8_lossy(shown)
            );
        }
    }
}
