//! ALiS v1, byte for byte: each frame is one binary message, integers are unsigned LEB128, times are microseconds.
//!
//! Both ways: what players get, and what asciinema's command line sends.

/// The first message.
pub(crate) const MAGIC: &[u8] = b"ALiS\x01";

const RESET: u8 = 0x01;
const END: u8 = 0x04;
const NO_THEME: u8 = 0;
/// Foreground and background come before a theme's palette; a colour has three bytes.
const COLOURS_BEFORE_PALETTE: usize = 2;

/// A frame. `since` is the time since the frame before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// A terminal of this size, what brings it to what it shows, and the last event that this is the result of.
    Reset {
        last_id: u64,
        time: u64,
        size: (u64, u64),
        screen: &'a str,
    },
    /// Something was printed.
    Output { id: u64, since: u64, text: &'a str },
    /// Something was typed.
    Input { id: u64, since: u64, text: &'a str },
    /// The terminal has another size: columns and rows.
    Resize { id: u64, since: u64, size: (u64, u64) },
    /// A moment has a name.
    Marker { id: u64, since: u64, label: &'a str },
    /// The command has ended.
    Exit { id: u64, since: u64, status: u64 },
    /// Nothing more comes. Producers say an id and the time since the frame before, servers the time since the beginning.
    End { id: Option<u64>, time: u64 },
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// An empty message.
    #[error("a message without bytes")]
    Empty,
    /// Its first byte is none of ours.
    #[error("no frame begins with {0:#04x}")]
    Kind(u8),
    /// Fewer bytes than it says.
    #[error("a frame is cut short")]
    Cut,
    /// More bytes than it says.
    #[error("a frame has bytes after its end")]
    Surplus,
    /// A number over 64 bits.
    #[error("a number is too large")]
    Number,
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    Text,
    /// A theme that is neither absent nor of 8 or 16 colours.
    #[error("a theme has no palette of {0}")]
    Theme(u8),
}

impl<'a> Frame<'a> {
    /// Its bytes. What a theme says is not kept, so none is written.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match *self {
            Frame::Reset {
                last_id,
                time,
                size,
                screen,
            } => Writer::new(RESET)
                .number(last_id)
                .number(time)
                .size(size)
                .byte(NO_THEME)
                .text(screen),
            Frame::Output { id, since, text } => Writer::event(b'o', id, since).text(text),
            Frame::Input { id, since, text } => Writer::event(b'i', id, since).text(text),
            Frame::Resize { id, since, size } => Writer::event(b'r', id, since).size(size),
            Frame::Marker { id, since, label } => Writer::event(b'm', id, since).text(label),
            Frame::Exit { id, since, status } => Writer::event(b'x', id, since).number(status),
            Frame::End { id: None, time } => Writer::new(END).number(time),
            Frame::End { id: Some(id), time } => Writer::event(END, id, time),
        }
        .0
    }

    /// The frame that a message is.
    ///
    /// # Errors
    /// If it is none, whole and alone.
    pub(crate) fn decode(message: &'a [u8]) -> Result<Self, FrameError> {
        let (kind, rest) = message.split_first().ok_or(FrameError::Empty)?;
        let mut bytes = Reader(rest);
        let frame = match *kind {
            RESET => {
                let (last_id, time, size) = (bytes.number()?, bytes.number()?, bytes.size()?);
                bytes.skip_theme()?;
                Frame::Reset {
                    last_id,
                    time,
                    size,
                    screen: bytes.text()?,
                }
            }
            END => {
                let first = bytes.number()?;
                match bytes.0 {
                    [] => Frame::End {
                        id: None,
                        time: first,
                    },
                    _ => Frame::End {
                        id: Some(first),
                        time: bytes.number()?,
                    },
                }
            }
            kind => {
                if !b"oirmx".contains(&kind) {
                    return Err(FrameError::Kind(kind));
                }
                let (id, since) = (bytes.number()?, bytes.number()?);
                match kind {
                    b'o' => Frame::Output {
                        id,
                        since,
                        text: bytes.text()?,
                    },
                    b'i' => Frame::Input {
                        id,
                        since,
                        text: bytes.text()?,
                    },
                    b'r' => Frame::Resize {
                        id,
                        since,
                        size: bytes.size()?,
                    },
                    b'm' => Frame::Marker {
                        id,
                        since,
                        label: bytes.text()?,
                    },
                    _ => Frame::Exit {
                        id,
                        since,
                        status: bytes.number()?,
                    },
                }
            }
        };
        match bytes.0 {
            [] => Ok(frame),
            _ => Err(FrameError::Surplus),
        }
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn new(kind: u8) -> Self {
        Writer(vec![kind])
    }

    fn event(kind: u8, id: u64, since: u64) -> Self {
        Writer::new(kind).number(id).number(since)
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

    fn size(self, (cols, rows): (u64, u64)) -> Self {
        self.number(cols).number(rows)
    }

    fn text(self, text: &str) -> Self {
        let mut frame = self.number(text.len() as u64);
        frame.0.extend_from_slice(text.as_bytes());
        frame
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, FrameError> {
        Ok(self.take(1)?[0])
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(FrameError::Cut)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, FrameError> {
        let mut number = 0u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(FrameError::Number);
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(FrameError::Number)
    }

    fn size(&mut self) -> Result<(u64, u64), FrameError> {
        Ok((self.number()?, self.number()?))
    }

    fn text(&mut self) -> Result<&'a str, FrameError> {
        let length = usize::try_from(self.number()?).map_err(|_| FrameError::Cut)?;
        std::str::from_utf8(self.take(length)?).map_err(|_| FrameError::Text)
    }

    fn skip_theme(&mut self) -> Result<(), FrameError> {
        match self.byte()? {
            NO_THEME => Ok(()),
            palette @ (8 | 16) => {
                self.take((COLOURS_BEFORE_PALETTE + usize::from(palette)) * 3)?;
                Ok(())
            }
            other => Err(FrameError::Theme(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_of_the_command_line_are_read_as_it_wrote_them() {
        let mut reset = vec![1, 0xac, 0x02, 5, 80, 24, 16];
        reset.extend([7; (2 + 16) * 3]);
        reset.extend(b"\x03\x1b[m");
        assert_eq!(
            Frame::decode(&reset),
            Ok(Frame::Reset {
                last_id: 300,
                time: 5,
                size: (80, 24),
                screen: "\u{1b}[m"
            })
        );
        let ended = Frame::End { id: Some(9), time: 1 };
        assert_eq!(Frame::decode(b"\x04\x09\x01"), Ok(ended));
        let exited = Frame::Exit {
            id: 1,
            since: 2,
            status: 3,
        };
        assert_eq!(Frame::decode(b"x\x01\x02\x03"), Ok(exited));
    }

    #[test]
    fn what_is_no_frame_is_refused_by_its_reason() {
        let cases: [(&[u8], FrameError); 8] = [
            (b"", FrameError::Empty),
            (b"?", FrameError::Kind(b'?')),
            (b"o\x01", FrameError::Cut),
            (b"o\x01\x01\x05abc", FrameError::Cut),
            (b"o\x01\x01\x01ab", FrameError::Surplus),
            (b"o\x01\x01\x01\xff", FrameError::Text),
            (b"\x01\x00\x00\x50\x18\x03", FrameError::Theme(3)),
            (b"x\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", FrameError::Number),
        ];
        for (bytes, error) in cases {
            assert_eq!(Frame::decode(bytes), Err(error), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(kind in 0..7, id: u64, since: u64, size: (u64, u64), text: String) {
            let frame = match kind {
                0 => Frame::Reset { last_id: id, time: since, size, screen: &text },
                1 => Frame::Output { id, since, text: &text },
                2 => Frame::Input { id, since, text: &text },
                3 => Frame::Resize { id, since, size },
                4 => Frame::Marker { id, since, label: &text },
                5 => Frame::Exit { id, since, status: size.0 },
                _ => Frame::End { id: Some(id).filter(|_| size.0 % 2 == 0), time: since },
            };
            let bytes = frame.encode();
            prop_assert_eq!(Frame::decode(&bytes), Ok(frame));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = Frame::decode(&bytes);
        }
    }
}
