//! Codex: what `codex exec --json` prints, and its rollout files.

mod exec;
mod patch;
mod rollout;
mod shell;

pub(crate) use exec::Exec;
pub(crate) use rollout::Rollout;

use serde_json::Value;

use crate::fields::count;
use crate::report::Tokens;
use crate::usage::Amounts;

/// Codex counts what came from the cache as input too; events do not.
fn amounts(usage: &Value) -> Amounts {
    let cached = count(usage, "cached_input_tokens").or(count(usage, "cache_read_input_tokens"));
    Amounts {
        tokens: Tokens {
            input: count(usage, "input_tokens").map(|input| (input - cached.unwrap_or(0)).max(0)),
            output: count(usage, "output_tokens"),
            cache_read: cached,
            cache_creation: count(usage, "cache_write_input_tokens"),
        },
        cost_usd: None,
    }
}
