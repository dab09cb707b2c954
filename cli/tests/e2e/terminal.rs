//! A terminal with a program in it, as a person has one.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use kulti_test_support::wait_until;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// The terminal: what it was sent, and what it shows of it.
pub struct Terminal {
    shown: Arc<Mutex<Shown>>,
    keyboard: Box<dyn Write + Send>,
    program: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
}

struct Shown {
    sent: Vec<u8>,
    emulator: avt::Terminal,
}

impl Terminal {
    pub fn open(command: CommandBuilder, cols: u16, rows: u16) -> Self {
        let pty = native_pty_system()
            .openpty(size(cols, rows))
            .expect("a pseudo-terminal");
        let program = pty.slave.spawn_command(command).expect("it starts");
        let mut output = pty.master.try_clone_reader().expect("its output");
        let keyboard = pty.master.take_writer().expect("its keyboard");
        let shown = Arc::new(Mutex::new(Shown {
            sent: Vec::new(),
            emulator: avt::Terminal::new(cols.into(), rows.into()).expect("a terminal"),
        }));
        let fed = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut buffer = [0; 16_384];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                let mut shown = fed.lock().expect("not poisoned");
                shown.sent.extend_from_slice(&buffer[..length]);
                let text = String::from_utf8_lossy(&buffer[..length]);
                shown.emulator.feed(text.as_ref());
            }
        });
        Terminal {
            shown,
            keyboard,
            program,
            master: pty.master,
        }
    }

    /// What it shows, line by line.
    pub fn screen(&self) -> String {
        let shown = self.shown.lock().expect("not poisoned");
        let lines = shown.emulator.screen().visible_lines();
        lines.map(|line| line.text() + "\n").collect()
    }

    pub fn has_cursor(&self) -> bool {
        let shown = self.shown.lock().expect("not poisoned");
        shown.emulator.cursor().position().is_some()
    }

    /// All that it was sent.
    pub fn sent(&self) -> Vec<u8> {
        self.shown.lock().expect("not poisoned").sent.clone()
    }

    pub fn sent_text(&self) -> String {
        String::from_utf8_lossy(&self.sent()).into_owned()
    }

    /// Waits for the text on its screen.
    pub async fn shows(&self, part: &str) {
        wait_until(&format!("the terminal shows {part:?}"), async || {
            self.screen().contains(part)
        })
        .await;
    }

    /// Waits until it was sent this.
    pub async fn is_sent(&self, part: &str) {
        wait_until(&format!("the terminal is sent {part:?}"), async || {
            self.sent_text().contains(part)
        })
        .await;
    }

    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("it listens");
        self.keyboard.flush().expect("it listens");
    }

    pub fn resize(&self, cols: u16, rows: u16) {
        self.master.resize(size(cols, rows)).expect("resized");
        let mut shown = self.shown.lock().expect("not poisoned");
        shown.emulator.resize(cols.into(), rows.into());
    }

    /// The exit code, once it has ended.
    pub async fn ended(&mut self) -> u32 {
        let program = Mutex::new(&mut self.program);
        let state = || {
            let mut program = program.lock().expect("not poisoned");
            program.try_wait().expect("its state")
        };
        wait_until("it ends", async || state().is_some()).await;
        state().expect("it has ended").exit_code()
    }
}

fn size(cols: u16, rows: u16) -> PtySize {
    PtySize {
        cols,
        rows,
        ..PtySize::default()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}
