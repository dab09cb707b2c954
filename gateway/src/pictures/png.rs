//! An SVG of ours as PNG, with the font that this binary brings along: the same picture on every machine.

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

/// Dots per pixel of the SVG, for screens of many dots.
const SCALE: f32 = 2.0;
/// Dots of a picture at the most; larger screens are drawn smaller.
const MOST_DOTS: f32 = 4_000_000.0;
const FONT: &str = "DejaVu Sans Mono";

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub(super) enum PngError {
    #[error("the SVG cannot be read: {0}")]
    Svg(#[from] resvg::usvg::Error),
    #[error("there is no room for the picture")]
    Size,
    #[error("it cannot be encoded: {0}")]
    Encode(String),
}

static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(dejavu::sans_mono::regular().to_vec());
    fonts.load_font_data(dejavu::sans_mono::bold().to_vec());
    fonts.set_monospace_family(FONT);
    Arc::new(fonts)
});

/// Draws it.
pub(super) fn render(svg: &str) -> Result<Vec<u8>, PngError> {
    let options = Options {
        fontdb: Arc::clone(&FONTS),
        font_family: FONT.to_owned(),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options)?;
    let size = tree.size();
    let scale = SCALE.min((MOST_DOTS / (size.width() * size.height())).sqrt());
    let (width, height) = ((size.width() * scale) as u32, (size.height() * scale) as u32);
    let mut picture = Pixmap::new(width, height).ok_or(PngError::Size)?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut picture.as_mut());
    picture
        .encode_png()
        .map_err(|error| PngError::Encode(error.to_string()))
}
