//! How far a running suite has come, drawn on standard error where that is a terminal.
//!
//! Invariant: where standard error isn't a terminal nothing is written at all, and what was drawn is gone at the end. It
//! doesn't tell verdicts: those are the reports'.

use super::text::visible;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// How far a suite has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuiteProgress {
    /// How many properties have a verdict.
    pub done: usize,
    /// How many properties there are.
    pub total: usize,
    /// The property that is being tested.
    pub property: String,
    /// The backend that is being attacked.
    pub backend: String,
}

/// The line that shows it.
#[derive(Debug)]
pub struct ProgressDisplay {
    /// None where nobody would see it.
    bar: Option<ProgressBar>,
}

impl ProgressDisplay {
    /// One on standard error if that is a terminal, else one that shows nothing.
    #[must_use]
    pub fn on_stderr() -> Self {
        if std::io::stderr().is_terminal() { Self::on(ProgressDrawTarget::stderr()) } else { Self { bar: None } }
    }

    fn on(target: ProgressDrawTarget) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), target);
        // The template is ours, so it can't be wrong; if it were, the bar would look different and nothing else.
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} {wide_msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar: Some(bar) }
    }

    /// Shows how far it has come now.
    pub fn show(&self, progress: &SuiteProgress) {
        let Some(bar) = &self.bar else { return };
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        bar.set_length(count(progress.total));
        bar.set_message(format!("{} {}", visible(&progress.backend), visible(&progress.property)));
        bar.set_position(count(progress.done));
    }

    /// Takes it off the terminal.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::TermLike;
    use std::io;
    use std::process::{Command, Stdio};
    use std::sync::{Arc, Mutex};

    /// A terminal that keeps what is written to it.
    #[derive(Clone, Debug, Default)]
    struct Screen(Arc<Mutex<String>>);

    impl Screen {
        fn push(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
    }

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            100
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.push(&format!("{text}\n"))
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.push(text)
        }
        fn clear_line(&self) -> io::Result<()> {
            self.push("[cleared]")
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn at(done: usize) -> SuiteProgress {
        SuiteProgress {
            done,
            total: 40,
            property: "filesystem.host_path\u{1b}[2J".to_owned(),
            backend: "jail".to_owned(),
        }
    }

    #[test]
    fn a_terminal_shows_how_far_it_has_come_and_is_clean_at_the_end() {
        let screen = Screen::default();
        let display = ProgressDisplay::on(ProgressDrawTarget::term_like_with_hz(Box::new(screen.clone()), 255));
        display.show(&at(10));
        display.bar.as_ref().unwrap().force_draw();
        let drawn = screen.0.lock().unwrap().clone();
        assert!(drawn.contains(r"======>                  10/40 jail filesystem.host_path\u{1b}[2J"), "{drawn:?}");
        display.finish();
        assert!(screen.0.lock().unwrap().ends_with("[cleared]"), "{screen:?}");
    }

    /// Set for the copy of this program that shows progress.
    const SHOW: &str = "CRUCIBLE_TEST_SHOW_PROGRESS";

    #[test]
    fn nothing_is_written_where_standard_error_is_not_a_terminal() {
        if std::env::var_os(SHOW).is_some() {
            let display = ProgressDisplay::on_stderr();
            (0..=40).for_each(|done| display.show(&at(done)));
            return display.finish();
        }
        let name = "report::progress::tests::nothing_is_written_where_standard_error_is_not_a_terminal";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", name])
            .env(SHOW, "1")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("1 passed"), "{told}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}
