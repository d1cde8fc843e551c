//! Colours and signs. A colour never stands alone: there is always a word or a sign with it.

use anstyle::{AnsiColor, Style};
use std::borrow::Cow;

/// Whether output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum ColorWish {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How to write on one stream: with or without colours, with signs of Unicode or of ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint {
    color: bool,
    unicode: bool,
}

/// What a painted word is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As the terminal has it.
    Plain,
    /// It went well.
    Good,
    /// It needs a look.
    Warn,
    /// It went wrong, or it is dangerous.
    Bad,
    /// It is under way.
    Busy,
    /// It matters less.
    Faint,
    /// It stands out.
    Strong,
}

impl Paint {
    /// Without colours, with Unicode signs; for snapshots.
    #[cfg(test)]
    pub(crate) const fn plain() -> Self {
        Self {
            color: false,
            unicode: true,
        }
    }

    /// What fits a stream.
    pub(crate) fn of(wish: ColorWish, stream: &impl anstream::stream::RawStream) -> Self {
        let color = match wish {
            ColorWish::Always => true,
            ColorWish::Never => false,
            ColorWish::Auto => anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never,
        };
        Self {
            color,
            unicode: speaks_unicode(),
        }
    }

    /// Whether colours are used.
    pub(crate) const fn is_colored(self) -> bool {
        self.color
    }

    /// The text in this tone.
    pub(crate) fn tone(self, tone: Tone, text: &str) -> Cow<'_, str> {
        let style = match tone {
            Tone::Plain => return Cow::Borrowed(text),
            Tone::Good => Style::new().fg_color(Some(AnsiColor::Green.into())),
            Tone::Warn => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
            Tone::Bad => Style::new().fg_color(Some(AnsiColor::Red.into())).bold(),
            Tone::Busy => Style::new().fg_color(Some(AnsiColor::Cyan.into())),
            Tone::Faint => Style::new().dimmed(),
            Tone::Strong => Style::new().bold(),
        };
        if self.color && !text.is_empty() {
            Cow::Owned(format!("{style}{text}{style:#}"))
        } else {
            Cow::Borrowed(text)
        }
    }

    /// It went well.
    pub(crate) fn good(self, text: &str) -> Cow<'_, str> {
        self.tone(Tone::Good, text)
    }

    /// It went wrong.
    pub(crate) fn bad(self, text: &str) -> Cow<'_, str> {
        self.tone(Tone::Bad, text)
    }

    /// It needs a look.
    pub(crate) fn warn(self, text: &str) -> Cow<'_, str> {
        self.tone(Tone::Warn, text)
    }

    /// It matters less.
    pub(crate) fn faint(self, text: &str) -> Cow<'_, str> {
        self.tone(Tone::Faint, text)
    }

    /// It stands out.
    pub(crate) fn strong(self, text: &str) -> Cow<'_, str> {
        self.tone(Tone::Strong, text)
    }

    /// The sign where the terminal can show it, else its replacement.
    pub(crate) fn sign(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.unicode { unicode } else { ascii }
    }
}

/// What the locale says, as `setlocale` would read it: the first of the three that is not empty decides.
fn speaks_unicode() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty())
        .unwrap_or_default()
        .to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colour_the_text_is_untouched() {
        for tone in [Tone::Good, Tone::Bad, Tone::Faint] {
            assert_eq!(Paint::plain().tone(tone, "ok"), "ok");
        }
    }

    #[test]
    fn colour_is_taken_back_after_the_word() {
        let paint = Paint {
            color: true,
            unicode: false,
        };
        let painted = paint.bad("WAIVED");
        assert!(painted.starts_with('\u{1b}') && painted.ends_with("\u{1b}[0m"));
        assert_eq!(paint.sign("✓", "+"), "+");
    }
}
