//! The only way into the page: every text is escaped, every element is closed.

use crate::cli::graph::Picture;
use std::fmt::Write as _;

/// HTML under construction. The names of tags and attributes are ours; everything else is escaped.
#[derive(Debug, Default)]
pub(super) struct Markup {
    html: String,
}

/// Names and values.
pub(super) type Attributes<'a> = &'a [(&'static str, &'a str)];

impl Markup {
    /// An element with what `inside` puts into it.
    pub(super) fn within(
        &mut self,
        tag: &'static str,
        attributes: Attributes<'_>,
        inside: impl FnOnce(&mut Self),
    ) {
        self.lone(tag, attributes);
        inside(self);
        let _ = write!(self.html, "</{tag}>");
    }

    /// An element of this class with a text in it.
    pub(super) fn leaf(&mut self, tag: &'static str, class: &str, text: &str) {
        let class = [("class", class)];
        let attributes = if class[0].1.is_empty() {
            &[][..]
        } else {
            &class
        };
        self.within(tag, attributes, |m| m.text(text));
    }

    /// An element that has no end tag.
    pub(super) fn lone(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        let _ = write!(self.html, "<{tag}");
        for (name, value) in attributes {
            let _ = write!(self.html, " {name}=\"");
            self.text(value);
            self.html.push('"');
        }
        self.html.push('>');
    }

    /// A text, in an element or in an attribute's quotes.
    pub(super) fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.html.push_str("&amp;"),
                '<' => self.html.push_str("&lt;"),
                '>' => self.html.push_str("&gt;"),
                '"' => self.html.push_str("&quot;"),
                '\'' => self.html.push_str("&#39;"),
                '\n' | '\t' => self.html.push(c),
                // HTML has no way to hold these; a browser would show a question mark.
                c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
                c => self.html.push(c),
            }
        }
    }

    /// Line breaks between the big parts, for whoever reads the source.
    pub(super) fn newline(&mut self) {
        self.html.push('\n');
    }

    /// A picture, which escapes its own texts.
    pub(super) fn picture(&mut self, picture: &Picture) {
        self.html.push_str(picture.as_str());
    }

    /// Text of this program's own, style or script, as it stands.
    pub(super) fn ours(&mut self, text: &'static str) {
        self.html.push_str(text);
    }

    /// All of it.
    pub(super) fn finish(self) -> String {
        self.html
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_written_becomes_markup() {
        let mut m = Markup::default();
        m.within("a", &[("title", "\"><script>'&")], |m| {
            m.text("<b>\u{0}\u{1b}&amp;\n");
        });
        assert_eq!(
            m.finish(),
            "<a title=\"&quot;&gt;&lt;script&gt;&#39;&amp;\">&lt;b&gt;&amp;amp;\n</a>"
        );
    }
}
