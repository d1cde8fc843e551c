//! The terminal as one owner sees it: text that stays, and below it at most one live frame that is redrawn.
//!
//! Everything the program prints goes through here (logs too), so that a log line cannot tear a frame apart. A stream
//! that is gone (`pgbaton run … | head`) is no reason to end a run: writing errors end nothing, and [`lost`] tells of them.

use super::text;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

static LOST: Mutex<Option<io::Error>> = Mutex::new(None);
static SCREEN: Mutex<Frame> = Mutex::new(Frame { lines: Vec::new() });

/// The lines below the text that stays; what is drawn now.
struct Frame {
    lines: Vec<String>,
}

/// Columns and rows of the terminal that standard output is; none where it is not one.
pub(crate) fn size() -> Option<(usize, usize)> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&stdout).ok()?;
    // A terminal that does not know its size says zero.
    let or = |count: u16, default| {
        if count == 0 {
            default
        } else {
            usize::from(count)
        }
    };
    Some((or(size.ws_col, 80), or(size.ws_row, 24)))
}

/// Writes data to standard output.
pub(crate) fn data(text: &str) {
    let _frame = Lifted::now();
    if let Err(error) = written(&mut io::stdout().lock(), text)
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        let mut lost = LOST.lock().unwrap_or_else(PoisonError::into_inner);
        lost.get_or_insert(error);
    }
}

/// Why data could not be written: a full disk, say. A reader who went away is no such reason.
pub(crate) fn lost() -> Option<io::Error> {
    LOST.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Writes everything that is not data to standard error.
pub(crate) fn note(text: &str) {
    let _frame = Lifted::now();
    put(&mut io::stderr().lock(), text);
}

/// Draws these lines in place of the frame drawn before. Each must fit the terminal's width.
pub(crate) fn draw(lines: Vec<String>) {
    let mut frame = lock();
    let mut out = erasing(&frame);
    out.push_str("\u{1b}[?25l");
    for line in &lines {
        out.push_str(line);
        out.push('\n');
    }
    frame.lines = lines;
    put(&mut io::stdout().lock(), &out);
}

/// Takes the frame away and gives the cursor back. Harmless without a frame.
pub(crate) fn clear() {
    let mut frame = lock();
    if frame.lines.is_empty() {
        return;
    }
    let out = erasing(&frame) + "\u{1b}[?25h";
    frame.lines.clear();
    put(&mut io::stdout().lock(), &out);
}

/// Leaves the frame where it is and gives the cursor back.
pub(crate) fn keep() {
    let mut frame = lock();
    if !frame.lines.is_empty() {
        frame.lines.clear();
        put(&mut io::stdout().lock(), "\u{1b}[?25h");
    }
}

/// The frame taken off the screen while text is written above it; drawn again when this goes.
struct Lifted(MutexGuard<'static, Frame>);

impl Lifted {
    fn now() -> Self {
        let frame = lock();
        if !frame.lines.is_empty() {
            put(&mut io::stdout(), &erasing(&frame));
        }
        Self(frame)
    }
}

impl Drop for Lifted {
    fn drop(&mut self) {
        if self.0.lines.is_empty() {
            return;
        }
        let lines = self.0.lines.iter();
        let again: String = lines.flat_map(|l| [l.as_str(), "\n"]).collect();
        put(&mut io::stdout(), &again);
    }
}

/// What moves the cursor to the frame's first line and deletes everything from there on. A terminal that became
/// narrower has wrapped the lines meanwhile.
fn erasing(frame: &Frame) -> String {
    if frame.lines.is_empty() {
        return String::new();
    }
    let columns = size().map_or(80, |(columns, _)| columns);
    let rows: usize = frame
        .lines
        .iter()
        .map(|line| text::width(&unpainted(line)).div_ceil(columns).max(1))
        .sum();
    format!("\u{1b}[{rows}A\r\u{1b}[J")
}

fn unpainted(line: &str) -> String {
    anstream::adapter::strip_str(line).to_string()
}

fn put(stream: &mut dyn Write, text: &str) {
    let _ = written(stream, text);
}

fn written(stream: &mut dyn Write, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

fn lock() -> MutexGuard<'static, Frame> {
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where log lines go: standard error, above the frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Logs;

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        note(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
