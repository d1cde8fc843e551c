//! What YAML would do behind a user's back, and what is refused for it: tags, templates without quotes, keys that are no
//! text, merge keys, duplicate keys.

use super::builder::{Builder, Content, Key, Node};
use crate::document::{Label, Span, Spanned, Tree, syntax};
use serde_saphyr::granit_parser::{Span as Place, Tag};
use std::borrow::Cow;

impl Builder<'_> {
    /// Reports a tag. For a scalar that was probably meant as text (`!facts.ok`), gives that text, so that nothing
    /// else is reported about it.
    pub(super) fn report_tag(
        &mut self,
        tag: Option<&Cow<'_, Tag>>,
        place: &Place,
        scalar: Option<Span>,
    ) -> Option<Node> {
        let tag = tag?;
        let value = self.span(place);
        let tag_place = place.tag_span().map_or(value, |place| self.span(&place));
        let written = self.written(tag_place).to_owned();
        let meant = scalar.map(|scalar| Span::new(tag_place.start, scalar.end.max(tag_place.end)));
        let core = tag.is_yaml_core_schema();
        let meant_text = meant.map(|span| self.written(span).to_owned());
        let d = self.diagnostics.error(
            "yaml-tag",
            self.source,
            tag_place,
            format!("`{written}` is a YAML tag, and tags have no meaning here"),
        );
        d.label = "`!` begins a YAML tag".into();
        d.help = Some(match &meant_text {
            Some(text) if !core => format!("quote the expression: {}", syntax::quote(text)),
            _ => "leave the tag out; what is to be text is written in quotes".to_owned(),
        });
        let (span, text) = meant.zip(meant_text).filter(|_| !core)?;
        Some(Node {
            tree: Tree::String {
                text: text.clone(),
                plain: true,
            },
            span,
            text: Some(text),
        })
    }

    pub(super) fn unquoted_template(&mut self, span: Span) -> Tree {
        let text = self.written(span).to_owned();
        let d = self.diagnostics.error(
            "unquoted-template",
            self.source,
            span,
            "a template that is not quoted",
        );
        d.label = "YAML reads `{` as the beginning of a map".into();
        d.help = Some(format!("quote it: {}", syntax::quote(&text)));
        Tree::String { text, plain: true }
    }

    /// What becomes of a key.
    pub(super) fn judge_key(&mut self, node: Node) -> Key {
        let Some(Content::Map { seen, template, .. }) =
            self.open.last_mut().map(|open| &mut open.content)
        else {
            return Key::Refused;
        };
        // `{{ x }}` is a map whose key is a map; it is reported as a whole when it ends.
        if *template {
            return Key::Refused;
        }
        let Some(text) = node.text else {
            self.diagnostics
                .error(
                    "key-not-text",
                    self.source,
                    node.span,
                    format!("{} cannot be a key", node.tree.kind()),
                )
                .help = Some("keys are text".to_owned());
            return Key::Refused;
        };
        if text == "<<" && matches!(node.tree, Tree::String { plain: true, .. }) {
            self.diagnostics
                .error(
                    "yaml-merge-key",
                    self.source,
                    node.span,
                    "`<<` is a YAML merge key, and maps cannot be merged here",
                )
                .help =
                Some("write the keys out; what all steps share stands in `defaults`".to_owned());
            return Key::Refused;
        }
        if let Some(first) = seen.get(&text) {
            let first = *first;
            let d = self.diagnostics.error(
                "duplicate-key",
                self.source,
                node.span,
                format!("`{text}` is here twice"),
            );
            d.label = "again here".into();
            d.related.push(Label {
                span: first,
                text: "first here".to_owned(),
            });
            return Key::Refused;
        }
        seen.insert(text.clone(), node.span);
        if !matches!(node.tree, Tree::String { .. }) {
            self.diagnostics
                .error(
                    "key-not-text",
                    self.source,
                    node.span,
                    format!(
                        "the key `{text}` is {}, and keys are text",
                        node.tree.kind()
                    ),
                )
                .help = Some(format!("quote it: {}", syntax::quote(&text)));
        }
        Key::Read(Spanned::new(text, node.span))
    }
}
