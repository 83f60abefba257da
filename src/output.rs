//! What is shown to whoever has called, who may have stopped reading: `kopeck … | head`.
//!
//! The standard macros panic then. Those here are all that this package uses: they have the same
//! names, so that nobody takes the others by mistake.

use std::{
    fmt,
    io::{self, ErrorKind, Write as _},
    sync::atomic::{AtomicBool, Ordering},
};

/// Whether something that somebody was to read could not be written.
static INCOMPLETE: AtomicBool = AtomicBool::new(false);

/// Writes to standard output. If nobody reads it any more, that is their affair: what the command
/// does goes on, and its exit code says how it ended.
pub(crate) fn show(text: fmt::Arguments<'_>) {
    if let Err(error) = io::stdout().lock().write_fmt(text)
        && error.kind() != ErrorKind::BrokenPipe
    {
        INCOMPLETE.store(true, Ordering::Relaxed);
    }
}

/// Writes to standard error. There is nobody left to tell if that fails.
pub fn complain(text: fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

/// Whether something could not be written to standard output though somebody waits for it: its disk
/// is full, say.
#[must_use]
pub fn is_incomplete() -> bool {
    io::stdout()
        .flush()
        .is_err_and(|error| error.kind() != ErrorKind::BrokenPipe)
        || INCOMPLETE.load(Ordering::Relaxed)
}

macro_rules! print {
    ($($text:tt)*) => { $crate::output::show(format_args!($($text)*)) };
}

macro_rules! println {
    () => { $crate::output::show(format_args!("\n")) };
    ($($text:tt)*) => { $crate::output::show(format_args!("{}\n", format_args!($($text)*))) };
}

macro_rules! eprint {
    ($($text:tt)*) => { $crate::output::complain(format_args!($($text)*)) };
}

macro_rules! eprintln {
    ($($text:tt)*) => { $crate::output::complain(format_args!("{}\n", format_args!($($text)*))) };
}
