//! Events into a tree.

use super::{MAX_DEPTH, MAX_REPEATED};
use crate::document::{Diagnostics, Entry, Label, Source, Span, Spanned, Tree, scalar, syntax};
use serde_saphyr::granit_parser::{Event, ScalarStyle, Span as Place, Tag};
use std::borrow::Cow;
use std::collections::HashMap;

/// Reading cannot go on; the reason is reported.
pub(super) struct Stop;

/// A list or map whose end has not been seen.
pub(super) struct Open {
    span: Span,
    anchor: usize,
    pub(super) content: Content,
}

pub(super) enum Content {
    List(Vec<Spanned<Tree>>),
    Map {
        entries: Vec<Entry>,
        seen: HashMap<String, Span>,
        key: Key,
        /// It began as `{{`: a template without quotes. Reported; its text takes the place of the map.
        template: bool,
    },
}

/// What a map waits for.
pub(super) enum Key {
    /// A key.
    Expected,
    /// The value of this key.
    Read(Spanned<String>),
    /// The value of a key that was reported; it goes nowhere.
    Refused,
}

/// A value that is complete, and how it was written.
pub(super) struct Node {
    pub(super) tree: Tree,
    pub(super) span: Span,
    /// Scalars: their text.
    pub(super) text: Option<String>,
}

pub(super) struct Builder<'a> {
    pub(super) source: &'a Source,
    pub(super) diagnostics: &'a mut Diagnostics,
    pub(super) open: Vec<Open>,
    pub(super) root: Option<Spanned<Tree>>,
    pub(super) documents: usize,
    anchors: HashMap<usize, Spanned<Tree>>,
    repeated: usize,
}

impl<'a> Builder<'a> {
    /// With nothing seen yet.
    pub(super) fn new(source: &'a Source, diagnostics: &'a mut Diagnostics) -> Self {
        Self {
            source,
            diagnostics,
            open: Vec::new(),
            root: None,
            documents: 0,
            anchors: HashMap::new(),
            repeated: 0,
        }
    }

    /// Takes the next event.
    pub(super) fn take(&mut self, event: Event<'_>, place: &Place) -> Result<(), Stop> {
        let span = self.span(place);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.diagnostics
                        .error(
                            "several-documents",
                            self.source,
                            span,
                            "a second document begins here",
                        )
                        .help = Some("one file holds one document: split it".to_owned());
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(&text, style, span, tag.as_ref(), place);
                self.remember(anchor, &node.tree, node.span);
                self.deliver(node);
                Ok(())
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.report_tag(tag.as_ref(), place, None);
                self.begin(span, anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.report_tag(tag.as_ref(), place, None);
                let template = self.rest(span.start).starts_with("{{");
                let content = Content::Map {
                    entries: Vec::new(),
                    seen: HashMap::new(),
                    key: Key::Expected,
                    template,
                };
                self.begin(span, anchor, content)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.end(span);
                Ok(())
            }
            Event::Alias(id) => self.alias(id, span),
            Event::UnresolvedAlias(_) => {
                let text = self.written(span).to_owned();
                let d = self.diagnostics.error(
                    "yaml-alias",
                    self.source,
                    span,
                    format!("`{text}` refers to an anchor that is not defined above"),
                );
                d.label = "`*` begins a YAML alias".into();
                d.help = Some(format!(
                    "to write text that begins with `*`, quote it: {}",
                    syntax::quote(&text)
                ));
                self.deliver(Node {
                    tree: Tree::String {
                        text: text.clone(),
                        plain: true,
                    },
                    span,
                    text: Some(text),
                });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        mut span: Span,
        tag: Option<&Cow<'_, Tag>>,
        place: &Place,
    ) -> Node {
        let plain = style == ScalarStyle::Plain;
        if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            span.end = span.start + self.written(span).trim_end().len();
        }
        if let Some(meant) = self.report_tag(tag, place, Some(span)) {
            return meant;
        }
        // The parser writes `~` for what is not there.
        let absent = plain && span.start == span.end;
        let tree = if absent {
            Tree::Null
        } else if plain {
            scalar::resolve(text).unwrap_or_else(|why| {
                self.diagnostics
                    .error(
                        "number-range",
                        self.source,
                        span,
                        format!("`{text}` is too large a number"),
                    )
                    .help = Some(format!("{why}; quote it if it is text"));
                Tree::Integer(0)
            })
        } else {
            Tree::String {
                text: text.to_owned(),
                plain: false,
            }
        };
        Node {
            tree,
            span,
            text: (!absent).then(|| text.to_owned()),
        }
    }

    fn begin(&mut self, span: Span, anchor: usize, content: Content) -> Result<(), Stop> {
        if self.open.len() >= MAX_DEPTH {
            self.too_deep(span);
            return Err(Stop);
        }
        self.open.push(Open {
            span,
            anchor,
            content,
        });
        Ok(())
    }

    fn too_deep(&mut self, span: Span) {
        self.diagnostics.error(
            "too-deep",
            self.source,
            span,
            format!("lists and maps are nested more than {MAX_DEPTH} levels deep"),
        );
    }

    fn end(&mut self, end: Span) {
        let Some(open) = self.open.pop() else { return };
        let written_end = |last: Option<usize>| {
            // The end of a block is seen only where the next thing begins: what it holds tells where it ends.
            if end.start == end.end {
                last.unwrap_or(open.span.end)
            } else {
                end.end
            }
        };
        let (tree, span) = match open.content {
            Content::List(items) => {
                let last = items.last().map(|item| item.span.end);
                let span = Span::new(open.span.start, written_end(last).max(open.span.end));
                (Tree::List(items), span)
            }
            Content::Map {
                entries, template, ..
            } => {
                let last = entries
                    .last()
                    .map(|entry| entry.value.span.end.max(entry.key.span.end));
                let span = Span::new(open.span.start, written_end(last).max(open.span.end));
                if template {
                    (self.unquoted_template(span), span)
                } else {
                    (Tree::Map(entries), span)
                }
            }
        };
        self.remember(open.anchor, &tree, span);
        self.deliver(Node {
            tree,
            span,
            text: None,
        });
    }

    /// Gives a complete value to what is open.
    fn deliver(&mut self, node: Node) {
        match self.open.last_mut().map(|open| &mut open.content) {
            None => {
                if self.root.is_none() {
                    self.root = Some(Spanned::new(node.tree, node.span));
                }
            }
            Some(Content::List(items)) => items.push(Spanned::new(node.tree, node.span)),
            Some(Content::Map { entries, key, .. }) => {
                match std::mem::replace(key, Key::Expected) {
                    Key::Expected => self.key(node),
                    Key::Read(key) => entries.push(Entry {
                        key,
                        value: Spanned::new(node.tree, node.span),
                    }),
                    Key::Refused => {}
                }
            }
        }
    }

    fn key(&mut self, node: Node) {
        let next = self.judge_key(node);
        if let Some(Content::Map { key, .. }) = self.open.last_mut().map(|open| &mut open.content) {
            *key = next;
        }
    }

    fn remember(&mut self, anchor: usize, tree: &Tree, span: Span) {
        if anchor != 0 {
            self.anchors
                .insert(anchor, Spanned::new(tree.clone(), span));
        }
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Stop> {
        let Some(target) = self.anchors.get(&id) else {
            self.diagnostics.error(
                "yaml-alias",
                self.source,
                span,
                format!("`{}` repeats a value inside of itself", self.written(span)),
            );
            return Err(Stop);
        };
        let (values, depth) = size(&target.value);
        self.repeated += values;
        if self.repeated > MAX_REPEATED {
            let d = self.diagnostics.error(
                "yaml-alias",
                self.source,
                span,
                format!("the aliases up to here repeat more than {MAX_REPEATED} values"),
            );
            d.label = format!("repeats {values} values");
            d.related.push(Label {
                span: target.span,
                text: "the anchor".to_owned(),
            });
            return Err(Stop);
        }
        if self.open.len() + depth > MAX_DEPTH {
            self.too_deep(span);
            return Err(Stop);
        }
        let (tree, place) = (target.value.clone(), target.span);
        let text = match &tree {
            Tree::String { text, .. } => Some(text.clone()),
            _ => None,
        };
        // A key is shown where it stands, a value where it was written.
        let keyed = matches!(
            self.open.last().map(|open| &open.content),
            Some(Content::Map {
                key: Key::Expected,
                ..
            })
        );
        self.deliver(Node {
            tree,
            span: if keyed { span } else { place },
            text,
        });
        Ok(())
    }

    pub(super) fn span(&self, place: &Place) -> Span {
        let limit = self.source.text.len();
        let start = place.start.byte_offset().unwrap_or(0).min(limit);
        let end = place.end.byte_offset().unwrap_or(start).min(limit);
        Span::new(start, end.max(start))
    }

    /// The innermost bracket that is open.
    pub(super) fn open_bracket(&self) -> Option<Span> {
        let innermost = self.open.last()?.span;
        self.rest(innermost.start)
            .starts_with(['[', '{'])
            .then_some(innermost)
    }

    pub(super) fn written(&self, span: Span) -> &str {
        self.source.text.get(span.start..span.end).unwrap_or("")
    }

    fn rest(&self, from: usize) -> &str {
        self.source.text.get(from..).unwrap_or("")
    }
}

/// How many values a tree holds, itself included, and how many levels of lists and maps.
fn size(tree: &Tree) -> (usize, usize) {
    let (values, depth) = match tree {
        Tree::List(items) => items
            .iter()
            .map(|item| size(&item.value))
            .fold((0, 0), |(n, d), (m, e)| (n + m, d.max(e))),
        Tree::Map(entries) => entries
            .iter()
            .map(|entry| size(&entry.value.value))
            .fold((0, 0), |(n, d), (m, e)| (n + m, d.max(e))),
        _ => return (1, 0),
    };
    (values + 1, depth + 1)
}
