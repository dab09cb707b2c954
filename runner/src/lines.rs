//! Lines of a file that may be large, hostile, or still growing.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

/// A longer line is cut: it is no JSON any more, and kept as an unreadable one.
const LONGEST_LINE: usize = 32 << 20;

/// Reads line by line; goes on where the file has grown.
#[derive(Debug)]
pub struct Lines {
    input: BufReader<File>,
    line: Vec<u8>,
    /// Bytes of the file that were read.
    read: u64,
}

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A whole line.
    Line,
    /// The file ends here, with a line that has no end yet.
    Begun,
    /// The file ends here.
    End,
}

impl Lines {
    /// From the file's beginning.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Lines::open_at(path, 0)
    }

    /// From behind so many bytes.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open_at(path: &Path, offset: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Lines {
            input: BufReader::with_capacity(1 << 16, file),
            line: Vec::new(),
            read: offset,
        })
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.read
    }

    /// The line that `next` found, without its end.
    pub fn line(&self) -> &[u8] {
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// Finds the next line. After `Begun` it goes on with the same line.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read_next(&mut self) -> io::Result<Next> {
        if self.line.ends_with(b"\n") {
            self.line.clear();
        }
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                return Ok(if self.line.is_empty() {
                    Next::End
                } else {
                    Next::Begun
                });
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(available.len(), |end| end + 1);
            let room = LONGEST_LINE.saturating_sub(self.line.len());
            self.line.extend_from_slice(&available[..taken.min(room)]);
            self.input.consume(taken);
            self.read += taken as u64;
            if end.is_some() {
                // Of a line that was cut the end is missing too.
                if !self.line.ends_with(b"\n") {
                    self.line.push(b'\n');
                }
                return Ok(Next::Line);
            }
        }
    }

    /// The line without an end was taken as it is.
    pub fn take_begun(&mut self) {
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_that_grows_is_read_on_and_a_line_without_an_end_waits() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(b"one\r\ntw").expect("written");
        let mut lines = Lines::open(file.path()).expect("open");
        assert_eq!(
            (lines.read_next().expect("read"), lines.line()),
            (Next::Line, &b"one"[..])
        );
        assert_eq!(
            (lines.read_next().expect("read"), lines.line()),
            (Next::Begun, &b"tw"[..])
        );
        file.write_all(b"o\n\n").expect("written");
        assert_eq!(
            (lines.read_next().expect("read"), lines.line()),
            (Next::Line, &b"two"[..])
        );
        assert_eq!(
            (lines.read_next().expect("read"), lines.line()),
            (Next::Line, &b""[..])
        );
        assert_eq!(lines.read_next().expect("read"), Next::End);
        assert_eq!(lines.bytes_read(), 10);
    }
}
