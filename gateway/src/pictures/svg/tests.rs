use kulti_session::workspace::{CursorPlace, Paint, StyledLine};
use resvg::usvg::roxmltree::Document;

use super::*;
use crate::pictures::png;

fn run(text: &str) -> Run {
    Run {
        text: text.to_owned(),
        ..Run::default()
    }
}

fn screen(lines: Vec<Vec<Run>>) -> Screen {
    Screen {
        terminal: "main".to_owned(),
        cols: 40,
        rows: 10,
        cursor: Some(CursorPlace { col: 3, row: 1 }),
        lines: lines.into_iter().map(StyledLine).collect(),
        scrollback: Vec::new(),
    }
}

#[test]
fn what_a_terminal_shows_never_becomes_markup() {
    let hostile = "</text><script>alert(1)</script>&\"'\u{0}\u{1b}\u{ffff}<![CDATA[";
    let coloured = Run {
        fg: Some(Paint::Rgb("red\"><script>".to_owned())),
        ..run(hostile)
    };
    let svg = draw(&screen(vec![vec![run(hostile), coloured]]));
    let document = Document::parse(&svg).expect("XML");
    let names: std::collections::BTreeSet<&str> = document
        .descendants()
        .filter(|node| node.is_element())
        .map(|node| node.tag_name().name())
        .collect();
    assert_eq!(
        names.into_iter().collect::<Vec<_>>(),
        ["rect", "svg", "text", "title"]
    );
    assert!(
        !svg.contains("href") && !svg.contains("url("),
        "nothing is loaded"
    );
}

#[test]
fn characters_stand_in_their_cells() {
    let svg = draw(&screen(vec![vec![run("ab"), run("漢字"), run("c")]]));
    let document = Document::parse(&svg).expect("XML");
    let places: Vec<(String, String, String)> = document
        .descendants()
        .filter(|node| node.has_tag_name("text"))
        .map(|node| {
            let of = |name| node.attribute(name).expect("it is there").to_owned();
            (node.text().expect("a text").to_owned(), of("x"), of("textLength"))
        })
        .collect();
    let expected = [
        ("ab", "12.00", "16.86"),
        ("漢字", "28.86", "33.72"),
        ("c", "62.58", "8.43"),
    ];
    assert_eq!(
        places,
        expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()))
    );
}

/// The colour of a picture at a place in a cell, each from 0 to 1.
fn colour_at(picture: &resvg::tiny_skia::Pixmap, (row, col): (f64, f64)) -> (u8, u8, u8) {
    let scale = f64::from(picture.width()) / (PADDING * 2.0 + 40.0 * CELL_WIDTH);
    let x = ((PADDING + col * CELL_WIDTH) * scale) as u32;
    let y = ((PADDING + row * CELL_HEIGHT) * scale) as u32;
    let pixel = picture.pixel(x, y).expect("inside").demultiply();
    (pixel.red(), pixel.green(), pixel.blue())
}

#[test]
fn the_picture_has_the_colours_of_the_screen() {
    let ground = Run {
        bg: Some(Paint::Rgb("#ff0080".to_owned())),
        ..run("    ")
    };
    let block = Run {
        fg: Some(Paint::Index(2)),
        ..run("████")
    };
    let inverse = Run {
        fg: Some(Paint::Index(9)),
        inverse: true,
        ..run("  ")
    };
    let svg = draw(&screen(vec![vec![ground, block, inverse]]));
    let png = png::render(&svg).expect("a picture");
    let picture = resvg::tiny_skia::Pixmap::decode_png(&png).expect("a PNG");
    assert_eq!(colour_at(&picture, (0.5, 2.0)), (0xff, 0x00, 0x80));
    assert_eq!(
        colour_at(&picture, (0.5, 5.5)),
        (0x7f, 0xc7, 0x7f),
        "text is drawn with the font that is brought along"
    );
    assert_eq!(colour_at(&picture, (0.5, 9.0)), (0xff, 0x8f, 0x8f));
    assert_eq!(colour_at(&picture, (4.5, 9.0)), (0x0b, 0x0e, 0x13));
}

#[test]
fn the_largest_screen_makes_a_picture_of_bounded_size() {
    let line = vec![run(&"x".repeat(500))];
    let svg = draw(&Screen {
        cols: 500,
        rows: 200,
        ..screen(vec![line; 200])
    });
    let png = png::render(&svg).expect("a picture");
    let picture = resvg::tiny_skia::Pixmap::decode_png(&png).expect("a PNG");
    assert!(
        picture.width() * picture.height() <= 4_100_000,
        "{} x {}",
        picture.width(),
        picture.height()
    );
}
