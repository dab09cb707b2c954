//! Takes the player's WebAssembly into the binary if `dev/wasm` has built it. Without it everything else works, and HTML
//! exports say what is missing.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(has_player_fold)");
    // The folder, because a file that is not there would have the crate built anew each time.
    println!("cargo::rerun-if-changed=player");
    let folder = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    if Path::new(&folder).join("player/fold.wasm").is_file() {
        println!("cargo::rustc-cfg=has_player_fold");
    } else {
        println!("cargo::warning=without HTML exports: `dev/wasm` builds what they need");
    }
}
