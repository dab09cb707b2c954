//! What stands around the events in an exported page.

use std::io::Write;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("../../../player/player.css");
const BODY: &str = include_str!("../../../player/player.html");
/// In the order in which they need each other.
const MODULES: [&str; 5] = [
    include_str!("../../../player/fold.js"),
    include_str!("../../../player/tape.js"),
    include_str!("../../../player/screen.js"),
    include_str!("../../../player/panels.js"),
    include_str!("../../../player/player.js"),
];
#[cfg(has_player_fold)]
const FOLD: Option<&[u8]> = Some(include_bytes!("../../../player/fold.wasm"));
#[cfg(not(has_player_fold))]
const FOLD: Option<&[u8]> = None;

/// The modules as one: there is no place that they could be loaded from.
static SCRIPT: LazyLock<String> = LazyLock::new(|| {
    let lines = MODULES.iter().flat_map(|module| module.lines());
    let kept = lines.filter(|line| !line.starts_with("import "));
    kept.map(|line| line.strip_prefix("export ").unwrap_or(line).to_owned() + "\n")
        .collect()
});

static PACKED_FOLD: LazyLock<Option<String>> = LazyLock::new(|| FOLD.map(|fold| base64(&gzip(fold))));

/// The fold, packed; `None` if it was not built.
pub(super) fn fold() -> Option<&'static str> {
    PACKED_FOLD.as_deref()
}

/// All up to the events.
pub(super) fn head(title: &str, fold: &str, start: &str) -> Vec<u8> {
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}' 'wasm-unsafe-eval'; style-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'",
        base64(&Sha256::digest(&*SCRIPT)),
        base64(&Sha256::digest(STYLE))
    );
    let title = escaped(title);
    let start = base64(&gzip(start.as_bytes()));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"dark light\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n{BODY}\
         <script type=\"application/gzip\" id=\"fold\">{fold}</script>\n\
         <script type=\"application/gzip\" id=\"start\">{start}</script>\n\
         <script type=\"application/gzip\" id=\"events\">"
    )
    .into_bytes()
}

/// All after them.
pub(super) fn end() -> String {
    format!(
        "</script>\n<script type=\"module\">{}</script>\n</body>\n</html>\n",
        *SCRIPT
    )
}

/// Bytes as text that no markup can be in.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail.
    encoder.write_all(bytes).ok();
    encoder.finish().unwrap_or_default()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_nothing_and_its_scripts_are_whole() {
        assert!(!SCRIPT.contains("import ") && !SCRIPT.contains("\nexport "));
        assert!(!SCRIPT.contains("</script") && !STYLE.contains("</style"));
        assert!(
            !SCRIPT.contains("innerHTML"),
            "text of events must never become markup"
        );
        let page = String::from_utf8(head("<b>&", "Zm9sZA==", "")).expect("text") + &end();
        for foreign in ["http://", "https://", "src=", "href=", "url(", "@import"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.contains("<title>&lt;b&gt;&amp;</title>"));
    }
}
