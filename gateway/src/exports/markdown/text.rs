//! Texts of others in a Markdown document: none of them can end the block that it stands in, or be taken for markup of
//! the document.

use pulldown_cmark::{Event, Parser};

/// A code block. Its fence is longer than any in the text.
pub(super) fn code_block(text: &str, language: &str) -> String {
    let fence = "`".repeat(longest_run(text, '`').max(2) + 1);
    let language: String = language
        .chars()
        .filter(|character| character.is_ascii_alphanumeric() || "+-_.#".contains(*character))
        .take(32)
        .collect();
    let text = text.trim_end_matches(['\n', '\r']);
    format!("{fence}{language}\n{text}\n{fence}\n\n")
}

/// Code within a line.
pub(super) fn code_span(text: &str) -> String {
    let text = one_line(text);
    if text.is_empty() {
        return String::new();
    }
    let fence = "`".repeat(longest_run(&text, '`') + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') {
        " "
    } else {
        ""
    };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Plain text within a line.
pub(super) fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in one_line(text).chars() {
        if "\\`*_{}[]()<>#+-.!|~&".contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// What somebody wrote, which is Markdown more often than not, as a quotation: whatever it opens ends with it. HTML in
/// it is shown, not obeyed.
pub(super) fn quotation(text: &str) -> String {
    let text = without_html(text.trim_end());
    let mut out = String::with_capacity(text.len() + 64);
    for line in text.lines() {
        out.push('>');
        if !line.is_empty() {
            out.push(' ');
            out.push_str(line);
        }
        out.push('\n');
    }
    out.push('\n');
    out
}

fn without_html(text: &str) -> String {
    // A lone return would begin a line that no mark of the quotation stands before.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for (event, range) in Parser::new(&text).into_offset_iter() {
        if matches!(event, Event::Html(_) | Event::InlineHtml(_)) && range.start >= copied {
            out.push_str(&text[copied..range.start]);
            out.push_str(&text[range.clone()].replace('<', "&lt;"));
            copied = range.end;
        }
    }
    out.push_str(&text[copied..]);
    out
}

fn one_line(text: &str) -> String {
    let text = text.trim();
    text.chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect()
}

fn longest_run(text: &str, wanted: char) -> usize {
    let (mut longest, mut run) = (0, 0);
    for character in text.chars() {
        run = if character == wanted { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod tests {
    use pulldown_cmark::{Tag, TagEnd};

    use super::*;

    /// What stands outside of code and quotations.
    fn outside(document: &str) -> String {
        let mut depth = 0;
        let mut out = String::new();
        for event in Parser::new(document) {
            match event {
                Event::Start(Tag::CodeBlock(_) | Tag::BlockQuote(_)) => depth += 1,
                Event::End(TagEnd::CodeBlock | TagEnd::BlockQuote(_)) => depth -= 1,
                Event::Text(text) if depth == 0 => out.push_str(&text),
                Event::Html(html) | Event::InlineHtml(html) => panic!("HTML: {html}"),
                _ => {}
            }
        }
        out
    }

    #[test]
    fn no_text_gets_out_of_its_block() {
        for text in [
            "```\nout",
            "````\n```\nout",
            "~~~\nout",
            "plain\n\n# out\n- out",
            "- item\n  ```\n  code",
            "<!-- \nout",
            "<script>\nout</script>",
            "[out]: http://x",
            "a\rout\r```\rb",
            "> ```\n> x",
            "\u{0}`\u{1b}[2J",
        ] {
            for block in [code_block(text, "rust"), quotation(text)] {
                let document = format!("{block}after\n");
                assert_eq!(outside(&document), "after", "{text:?} as {block:?}");
            }
        }
    }

    #[test]
    fn html_is_shown_and_code_is_left_as_it_is() {
        let shown = quotation("a <b>bold</b> `<i>` \n\n```html\n<p>\n```\n");
        assert_eq!(
            shown,
            "> a &lt;b>bold&lt;/b> `<i>` \n>\n> ```html\n> <p>\n> ```\n\n"
        );
    }

    #[test]
    fn names_within_a_line_stay_within_it() {
        assert_eq!(code_span("src/a.rs"), "`src/a.rs`");
        assert_eq!(code_span("a`b\nc"), "``a`b c``");
        assert_eq!(code_span("`"), "`` ` ``");
        assert_eq!(inline("# *x* <b>\n[y](z)"), "\\# \\*x\\* \\<b\\> \\[y\\]\\(z\\)");
    }
}
