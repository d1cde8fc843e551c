//! From YAML text to a [`Tree`] with places.
//!
//! Built on the event stream of the parser beneath `serde-saphyr` (which re-exports it): events carry byte offsets,
//! tags, anchors and the style of scalars, and they come in source order, so that what is wrong with one entry can be
//! reported and the rest read on. Deserializing through serde would stop at the first problem, and loses duplicate keys
//! and tags on the way.

use super::{Diagnostics, Entry, Source, Span, Spanned, Tree, scalar, syntax};
use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, Span as Place, Tag};
use std::borrow::Cow;
use std::collections::HashMap;

/// The longest document that is read. A playbook of a thousand steps has a tenth of it.
const MAX_BYTES: usize = 1 << 20;
/// How deep lists and maps may be nested.
pub(super) const MAX_DEPTH: usize = 64;
/// How many values all aliases of a document may repeat together.
const MAX_REPEATED: usize = 10_000;

/// Reads one YAML document. Everything that is wrong with it is added to `diagnostics`.
///
/// Tags, merge keys, duplicate keys, keys that are not text and further documents are errors that do not keep the rest
/// from being read. Simple aliases are allowed, and the places in their values are those of the anchor; aliases that
/// repeat themselves or more than 10,000 values are errors. `None` when there is no tree to go on with: a syntax
/// error (with all problems found before it), an empty file, or one that exceeds 1 MiB or 64 levels.
pub fn parse(source: &Source, diagnostics: &mut Diagnostics) -> Option<Spanned<Tree>> {
    if source.text.len() > MAX_BYTES {
        diagnostics
            .error(
                "document-too-large",
                source,
                Span::default(),
                format!(
                    "the file has {} bytes, and at most {MAX_BYTES} are read",
                    source.text.len()
                ),
            )
            .help = Some("is this the file that was meant?".to_owned());
        return None;
    }
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.emit_unresolved_aliases = true;
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let mut builder = Builder {
        source,
        diagnostics,
        open: Vec::new(),
        root: None,
        documents: 0,
        anchors: HashMap::new(),
        repeated: 0,
    };
    for event in Parser::new_from_str_with_options(&source.text, options) {
        match event {
            Ok((event, place)) => {
                if builder.take(event, &place).is_err() {
                    return None;
                }
                if builder.documents > 1 {
                    break;
                }
            }
            Err(error) => {
                let inside = builder.open_bracket();
                syntax::report(&error, source, inside, builder.diagnostics);
                return None;
            }
        }
    }
    let root = builder.root.take().filter(|root| root.value != Tree::Null);
    if root.is_none() {
        diagnostics.error(
            "empty-document",
            source,
            Span::default(),
            "there is nothing in this file",
        );
    }
    root
}

/// Reading cannot go on; the reason is reported.
struct Stop;

/// A list or map whose end has not been seen.
struct Open {
    span: Span,
    anchor: usize,
    content: Content,
}

enum Content {
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
enum Key {
    /// A key.
    Expected,
    /// The value of this key.
    Read(Spanned<String>),
    /// The value of a key that was reported; it goes nowhere.
    Refused,
}

/// A value that is complete, and how it was written.
struct Node {
    tree: Tree,
    span: Span,
    /// Scalars: their text.
    text: Option<String>,
}

struct Builder<'a> {
    source: &'a Source,
    diagnostics: &'a mut Diagnostics,
    open: Vec<Open>,
    root: Option<Spanned<Tree>>,
    documents: usize,
    anchors: HashMap<usize, Spanned<Tree>>,
    repeated: usize,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, place: &Place) -> Result<(), Stop> {
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
                d.label = "`*` begins a YAML alias".to_owned();
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

    /// Reports a tag. For a scalar that was probably meant as text (`!facts.ok`), gives that text, so that nothing
    /// else is reported about it.
    fn report_tag(
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
        d.label = "`!` begins a YAML tag".to_owned();
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

    fn unquoted_template(&mut self, span: Span) -> Tree {
        let text = self.written(span).to_owned();
        let d = self.diagnostics.error(
            "unquoted-template",
            self.source,
            span,
            "a template that is not quoted",
        );
        d.label = "YAML reads `{` as the beginning of a map".to_owned();
        d.help = Some(format!("quote it: {}", syntax::quote(&text)));
        Tree::String { text, plain: true }
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

    fn judge_key(&mut self, node: Node) -> Key {
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
            d.label = "again here".to_owned();
            d.related.push(super::Label {
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
            d.related.push(super::Label {
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

    fn span(&self, place: &Place) -> Span {
        let limit = self.source.text.len();
        let start = place.start.byte_offset().unwrap_or(0).min(limit);
        let end = place.end.byte_offset().unwrap_or(start).min(limit);
        Span::new(start, end.max(start))
    }

    /// The innermost bracket that is open.
    fn open_bracket(&self) -> Option<Span> {
        let innermost = self.open.last()?.span;
        self.rest(innermost.start)
            .starts_with(['[', '{'])
            .then_some(innermost)
    }

    fn written(&self, span: Span) -> &str {
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
