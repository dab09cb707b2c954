//! The colours of a terminal's palette: those of the session's page, on dark ground.

use std::borrow::Cow;

use kulti_session::workspace::Paint;

/// Text without a colour.
pub(super) const FOREGROUND: &str = "#d6dde6";
/// What it stands on.
pub(super) const BACKGROUND: &str = "#0b0e13";
/// Of these the first eight have names, the others are their brighter ones.
const NAMED: [&str; 16] = [
    "#5c6773", "#f2777a", "#7fc77f", "#e0b65c", "#6ca8ff", "#d192e8", "#56c7cf", "#c9d1d9", "#7d8895",
    "#ff8f8f", "#8fe08f", "#f7d27a", "#93c1ff", "#e5b3f5", "#7fe0e6", "#ffffff",
];
/// The six steps of each side of xterm's cube of colours.
const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];

/// As `#rrggbb`.
pub(super) fn colour(paint: &Paint) -> Cow<'_, str> {
    match paint {
        Paint::Rgb(rgb) if is_colour(rgb) => Cow::Borrowed(rgb),
        Paint::Rgb(_) => Cow::Borrowed(FOREGROUND),
        Paint::Index(index @ 0..16) => Cow::Borrowed(NAMED[usize::from(*index)]),
        Paint::Index(index @ 16..232) => {
            let place = usize::from(index - 16);
            let (red, green, blue) = (STEPS[place / 36], STEPS[place / 6 % 6], STEPS[place % 6]);
            Cow::Owned(format!("#{red:02x}{green:02x}{blue:02x}"))
        }
        Paint::Index(index) => {
            let grey = 8 + 10 * (index - 232);
            Cow::Owned(format!("#{grey:02x}{grey:02x}{grey:02x}"))
        }
    }
}

/// Keyframes come from elsewhere: nothing but a colour gets into the markup.
fn is_colour(text: &str) -> bool {
    let digits = text.strip_prefix('#');
    digits.is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
