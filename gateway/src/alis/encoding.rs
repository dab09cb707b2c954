//! ALiS v1, byte for byte: each frame is one binary message, integers are unsigned LEB128, times are microseconds.

/// The first message.
pub(super) const MAGIC: &[u8] = b"ALiS\x01";

const RESET: u8 = 0x01;
const END: u8 = 0x04;
const NO_THEME: u8 = 0;

/// A terminal of this size, and what brings it to what it shows.
pub(super) fn reset(id: u64, time: u64, (cols, rows): (usize, usize), screen: &str) -> Vec<u8> {
    let size = Frame::new(RESET)
        .number(id)
        .number(time)
        .number(cols as u64)
        .number(rows as u64);
    size.byte(NO_THEME).text(screen).0
}

/// Something was printed.
pub(super) fn output(id: u64, since: u64, text: &str) -> Vec<u8> {
    Frame::new(b'o').number(id).number(since).text(text).0
}

/// The terminal has another size.
pub(super) fn resize(id: u64, since: u64, (cols, rows): (usize, usize)) -> Vec<u8> {
    let frame = Frame::new(b'r').number(id).number(since);
    frame.number(cols as u64).number(rows as u64).0
}

/// A moment has a name.
pub(super) fn marker(id: u64, since: u64, label: &str) -> Vec<u8> {
    Frame::new(b'm').number(id).number(since).text(label).0
}

/// Nothing more comes.
pub(super) fn end(time: u64) -> Vec<u8> {
    Frame::new(END).number(time).0
}

struct Frame(Vec<u8>);

impl Frame {
    fn new(kind: u8) -> Self {
        Frame(vec![kind])
    }

    fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    fn number(mut self, mut number: u64) -> Self {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
        self
    }

    fn text(self, text: &str) -> Self {
        let mut frame = self.number(text.len() as u64);
        frame.0.extend_from_slice(text.as_bytes());
        frame
    }
}
