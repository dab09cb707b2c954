//! `rules.json`, compiled once per process.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex_automata::meta::Regex;
use regex_automata::nfa::thompson;
use regex_automata::{hybrid, util::syntax};
use serde::Deserialize;

const TEXT: &str = include_str!("../rules.json");

/// As in the file; README.md says what each means.
#[derive(Deserialize)]
struct RulesText {
    marker: String,
    transparent: String,
    escapes: String,
    placeholders: Vec<String>,
    placeholders_of_named: Vec<String>,
    placeholder_passwords: Vec<String>,
    allow: Vec<String>,
    rules: Vec<RuleText>,
}

#[derive(Deserialize)]
struct RuleText {
    name: String,
    keywords: Vec<String>,
    pattern: String,
    #[serde(default)]
    ignore_case: bool,
    #[serde(default)]
    back: Option<BackText>,
    #[serde(flatten)]
    checks: Checks,
    #[expect(dead_code, reason = "for who reads the file")]
    source: String,
}

#[derive(Deserialize)]
struct BackText {
    chars: String,
    most: usize,
    least: usize,
}

/// What else must be true where a pattern matched.
#[derive(Debug, Deserialize)]
pub(crate) struct Checks {
    #[serde(default)]
    pub(crate) word: bool,
    #[serde(default)]
    pub(crate) not_after: Vec<String>,
    #[serde(default)]
    pub(crate) end: bool,
    #[serde(default)]
    pub(crate) end_not: String,
    #[serde(default)]
    pub(crate) min_length: usize,
    #[serde(default)]
    pub(crate) min_entropy: f64,
    #[serde(default)]
    pub(crate) digit: bool,
    #[serde(default)]
    pub(crate) mixed: bool,
    #[serde(default)]
    pub(crate) random: bool,
    #[serde(default)]
    pub(crate) password: bool,
}

/// How far before its keyword a pattern begins.
#[derive(Debug)]
pub(crate) struct Back {
    pub(crate) chars: Box<[bool; 256]>,
    pub(crate) most: usize,
    pub(crate) least: usize,
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) marker: String,
    pub(crate) pattern: Regex,
    /// The same pattern, to be asked whether more bytes could still make it match.
    pub(crate) unfinished: hybrid::dfa::DFA,
    pub(crate) back: Option<Back>,
    pub(crate) checks: Checks,
}

#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) rules: Vec<Rule>,
    /// Finds keywords, in any case.
    pub(crate) keywords: AhoCorasick,
    /// By the automaton's pattern: which rules have this keyword.
    pub(crate) rules_of_keyword: Vec<Vec<usize>>,
    /// Every beginning of every keyword, in lower case, sorted.
    pub(crate) keyword_beginnings: Vec<Vec<u8>>,
    pub(crate) longest_keyword: usize,
    pub(crate) transparent: Regex,
    pub(crate) escape_at_end: Regex,
    pub(crate) placeholders: AhoCorasick,
    pub(crate) placeholders_of_named: AhoCorasick,
    pub(crate) placeholder_passwords: Vec<String>,
}

static BUILT_IN: LazyLock<Rules> = LazyLock::new(|| {
    compile(TEXT).expect("rules.json is compiled in, and the tests of this crate compile it")
});

type CompileError = Box<dyn std::error::Error + Send + Sync>;

impl Rules {
    pub(crate) fn built_in() -> &'static Rules {
        &BUILT_IN
    }
}

fn compile(text: &str) -> Result<Rules, CompileError> {
    let text: RulesText = serde_json::from_str(text)?;
    let mut rules = Vec::with_capacity(text.rules.len());
    let mut keywords: Vec<String> = Vec::new();
    let mut rules_of_keyword: Vec<Vec<usize>> = Vec::new();
    for rule in text.rules {
        for keyword in &rule.keywords {
            let keyword = keyword.to_ascii_lowercase();
            match keywords.iter().position(|known| *known == keyword) {
                Some(index) => rules_of_keyword[index].push(rules.len()),
                None => {
                    keywords.push(keyword);
                    rules_of_keyword.push(vec![rules.len()]);
                }
            }
        }
        rules.push(compile_rule(rule, &text.marker)?);
    }
    let mut keyword_beginnings: Vec<Vec<u8>> = keywords
        .iter()
        .flat_map(|keyword| (1..=keyword.len()).map(|length| keyword.as_bytes()[..length].to_vec()))
        .collect();
    keyword_beginnings.sort_unstable();
    keyword_beginnings.dedup();
    let placeholders = text
        .placeholders
        .iter()
        .map(|word| word.as_str())
        .chain(text.allow.iter().map(String::as_str));
    Ok(Rules {
        rules,
        longest_keyword: keywords.iter().map(String::len).max().unwrap_or_default(),
        keywords: AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::DFA))
            .build(&keywords)?,
        rules_of_keyword,
        keyword_beginnings,
        transparent: regex(&text.transparent, false)?,
        escape_at_end: regex(&format!("{}$", text.escapes), false)?,
        placeholders: AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(placeholders)?,
        placeholders_of_named: AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(&text.placeholders_of_named)?,
        placeholder_passwords: text.placeholder_passwords,
    })
}

fn compile_rule(rule: RuleText, marker: &str) -> Result<Rule, CompileError> {
    let unfinished = hybrid::dfa::DFA::builder()
        .configure(hybrid::dfa::Config::new().skip_cache_capacity_check(true))
        .syntax(bytes_syntax(rule.ignore_case))
        .thompson(thompson::Config::new().utf8(false))
        .build(&rule.pattern)?;
    let back = match rule.back {
        None => None,
        Some(back) => {
            let class = regex(&format!("[{}]", back.chars), false)?;
            let mut chars = Box::new([false; 256]);
            for byte in 0..=255u8 {
                chars[usize::from(byte)] = class.is_match(&[byte]);
            }
            Some(Back {
                chars,
                most: back.most,
                least: back.least,
            })
        }
    };
    Ok(Rule {
        marker: marker.replace("{name}", &rule.name),
        // Once per process, and there are a hundred.
        name: rule.name.leak(),
        pattern: regex(&rule.pattern, rule.ignore_case)?,
        unfinished,
        back,
        checks: rule.checks,
    })
}

fn regex(pattern: &str, ignore_case: bool) -> Result<Regex, CompileError> {
    Ok(Regex::builder()
        .syntax(bytes_syntax(ignore_case))
        .configure(Regex::config().utf8_empty(false))
        .build(pattern)?)
}

/// ASCII alone, as Python and JavaScript read the same patterns over ASCII.
fn bytes_syntax(ignore_case: bool) -> syntax::Config {
    syntax::Config::new()
        .unicode(false)
        .utf8(false)
        .case_insensitive(ignore_case)
}
