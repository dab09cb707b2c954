"""The files that wordcount_agent.py writes, as it first writes them. The bugs in them are found by its tests."""

LIBRARY = '''\
//! Counts the lines, words and characters of a text, and ranks its words.

use std::collections::HashMap;

/// What was counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub lines: usize,
    pub words: usize,
    pub chars: usize,
}

/// Counts a whole text.
pub fn count(text: &str) -> Counts {
    Counts {
        lines: text.lines().count(),
        words: text.split(' ').count(),
        chars: text.len(),
    }
}

/// The most frequent words, the most frequent first.
pub fn top_words(text: &str, limit: usize) -> Vec<(String, usize)> {
    let mut seen = HashMap::new();
    for word in text.split(' ') {
        *seen.entry(word.to_lowercase()).or_insert(0usize) += 1;
    }
    let mut ranked: Vec<(String, usize)> = seen.into_iter().collect();
    ranked.sort_by(|a, b| b.1.cmp(a.1));
    ranked.truncate(limit);
    ranked
}
'''

TESTS = '''\
use wordcount::{count, top_words};

#[test]
fn an_empty_text_has_nothing() {
    assert_eq!(top_words("", 3).len() + count("").chars, 0);
}

#[test]
fn lines_are_counted() {
    assert_eq!(count("one\\ntwo\\nthree\\n").lines, 3);
}

#[test]
fn words_are_split_at_any_whitespace() {
    assert_eq!(count("two  words\\tand\\ntwo more\\n").words, 5);
}

#[test]
fn characters_are_not_bytes() {
    assert_eq!(count("café").chars, 4);
}

#[test]
fn case_does_not_matter() {
    assert_eq!(top_words("Tea tea TEA", 1), [("tea".to_string(), 3)]);
}

#[test]
fn punctuation_is_no_part_of_a_word() {
    let ranked = top_words("The cat, the hat. The end!", 2);
    assert_eq!(ranked, [("the".to_string(), 3), ("cat".to_string(), 1)]);
}
'''

RANKING_FIX_SPLIT = (
    '''\
    for word in text.split(' ') {
        *seen''',
    '''\
    let words = text
        .split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
        .filter(|word| !word.is_empty());
    for word in words {
        *seen''',
)

RANKING_FIX_TIES = (
    "ranked.sort_by(|a, b| b.1.cmp(&a.1));",
    "ranked.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));",
)

BINARY = '''\
//! Counts a file: `wordcount FILE`. Shows how far it is while it reads, if somebody is looking.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::time::Instant;

use wordcount::{count, top_words, Counts};

fn main() -> std::io::Result<()> {
    let path = std::env::args().nth(1).expect("usage: wordcount FILE");
    let size = std::fs::metadata(&path)?.len().max(1);
    let mut reader = BufReader::new(std::fs::File::open(&path)?);
    let (mut total, mut ranking, mut block) = (Counts::default(), HashMap::new(), String::new());
    let (begun, mut done, mut shown) = (Instant::now(), 0u64, 101);
    while reader.read_line(&mut block)? > 0 {
        if block.len() < 64 * 1024 && done + (block.len() as u64) < size {
            continue;
        }
        done += block.len() as u64;
        let part = count(&block);
        total.lines += part.lines;
        total.words += part.words;
        total.chars += part.chars;
        for (word, times) in top_words(&block, usize::MAX) {
            *ranking.entry(word).or_insert(0) += times;
        }
        block.clear();
        let percent = done * 100 / size;
        if percent != shown && size > 1_000_000 && std::io::stderr().is_terminal() {
            shown = percent;
            let bar = "█".repeat(percent as usize / 2);
            eprint!("\\r\\x1b[36m{bar:░<50}\\x1b[0m {percent:>3} %");
            std::io::stderr().flush()?;
        }
    }
    if shown <= 100 {
        eprintln!("\\r\\x1b[K\\x1b[2mread in {:.2} s\\x1b[0m", begun.elapsed().as_secs_f64());
    }
    println!("\\x1b[1m{}\\x1b[0m lines  \\x1b[1m{}\\x1b[0m words  \\x1b[1m{}\\x1b[0m characters\\n", total.lines, total.words, total.chars);
    let mut ranked: Vec<(String, usize)> = ranking.into_iter().collect();
    ranked.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let most = ranked.first().map_or(1, |word| word.1);
    for (place, (word, times)) in ranked.iter().take(8).enumerate() {
        let bar = "▇".repeat((times * 40 / most).max(1));
        println!("{word:>10} \\x1b[38;5;{}m{bar}\\x1b[0m {times}", 46 + place * 6 % 36 + place);
    }
    Ok(())
}
'''

# Lewis Carroll, Alice's Adventures in Wonderland (1865), the first two paragraphs. Public domain.
ALICE = '''\
Alice was beginning to get very tired of sitting by her sister on the
bank, and of having nothing to do: once or twice she had peeped into
the book her sister was reading, but it had no pictures or
conversations in it, “and what is the use of a book,” thought Alice
“without pictures or conversations?”

So she was considering in her own mind (as well as she could, for the
hot day made her feel very sleepy and stupid), whether the pleasure of
making a daisy-chain would be worth the trouble of getting up and
picking the daisies, when suddenly a White Rabbit with pink eyes ran
close by her.
'''
