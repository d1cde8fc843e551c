//! Several texts as one: a playbook, and the overlays that change it.
//!
//! All stand one after the other in one text, so that a place in any of them is a plain span and whatever reads places
//! need not know about files. Only who shows a place asks in which file it is.

use super::{Diagnostics, Entry, Source, Span, Spanned, Tree, parse};
use std::sync::Arc;

/// One of the texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    name: Arc<str>,
    /// Its first byte in the whole.
    pub(super) start: usize,
}

impl Source {
    /// These texts as one; the first is the one that the others change. One alone stays what it is.
    pub fn layered(sources: &[Self]) -> Self {
        if let [only] = sources {
            return only.clone();
        }
        let mut text = String::new();
        let mut layers = Vec::with_capacity(sources.len());
        for source in sources {
            layers.push(Layer {
                name: Arc::clone(&source.name),
                start: text.len(),
            });
            text.push_str(&source.text);
            text.push('\n');
        }
        let names: Vec<&str> = sources.iter().map(|source| &*source.name).collect();
        Self {
            layers: Some(layers.into()),
            ..Self::new(names.join(" + "), text)
        }
    }

    /// The texts that it is made of; itself where it is one.
    pub fn layers(&self) -> Vec<Self> {
        let Some(layers) = &self.layers else {
            return vec![self.clone()];
        };
        layers
            .iter()
            .map(|layer| self.placed(Span::new(layer.start, layer.start)).0)
            .collect()
    }

    /// Whether it is made of several texts.
    pub fn is_layered(&self) -> bool {
        self.layers.is_some()
    }

    /// The file that a place is in, and the place there.
    pub fn placed(&self, span: Span) -> (Self, Span) {
        let Some(layer) = self.layer_at(span.start) else {
            return (self.clone(), span);
        };
        let layers = self.layers.iter().flat_map(|layers| layers.iter());
        let end = layers
            .map(|other| other.start)
            .find(|start| *start > layer.start)
            .unwrap_or(self.text.len());
        // The last byte is the line break that keeps them apart.
        let text = self.text.get(layer.start..end.saturating_sub(1));
        let source = Self::new(Arc::clone(&layer.name), text.unwrap_or_default());
        let within = |offset: usize| offset.saturating_sub(layer.start).min(source.text.len());
        let place = Span::new(within(span.start), within(span.end));
        (source, place)
    }

    /// The name of the file that a byte is in.
    pub fn name_at(&self, offset: usize) -> &Arc<str> {
        self.layer_at(offset)
            .map_or(&self.name, |layer| &layer.name)
    }

    /// The same files with other text of the same length.
    #[must_use]
    pub fn with_text(&self, text: impl Into<Arc<str>>) -> Self {
        Self {
            text: text.into(),
            ..self.clone()
        }
    }

    pub(super) fn layer_at(&self, offset: usize) -> Option<&Layer> {
        let layers = self.layers.as_deref()?;
        let before = layers.iter().take_while(|layer| layer.start <= offset);
        before.last()
    }
}

/// Reads all the texts of a source, as [`parse`] reads one. The places are those of the whole.
pub fn parse_layers(source: &Source, diagnostics: &mut Diagnostics) -> Vec<Option<Spanned<Tree>>> {
    let Some(layers) = &source.layers else {
        return vec![parse(source, diagnostics)];
    };
    let mut trees = Vec::with_capacity(layers.len());
    for (layer, text) in layers.iter().zip(source.layers()) {
        let mut own = Diagnostics::default();
        let mut tree = parse(&text, &mut own);
        for mut diagnostic in own.0 {
            diagnostic.source = source.clone();
            shift(&mut diagnostic.span, layer.start);
            for label in &mut diagnostic.related {
                shift(&mut label.span, layer.start);
            }
            diagnostics.push(diagnostic);
        }
        if let Some(tree) = &mut tree {
            lift(tree, layer.start);
        }
        trees.push(tree);
    }
    trees
}

fn shift(span: &mut Span, by: usize) {
    span.start += by;
    span.end += by;
}

fn lift(tree: &mut Spanned<Tree>, by: usize) {
    shift(&mut tree.span, by);
    match &mut tree.value {
        Tree::List(items) => items.iter_mut().for_each(|item| lift(item, by)),
        Tree::Map(entries) => {
            for Entry { key, value } in entries {
                shift(&mut key.span, by);
                lift(value, by);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_whole_is_a_place_in_one_file() {
        let (one, two) = (Source::new("1", "a: b"), Source::new("2", "c:\n  d: e\n"));
        let whole = Source::layered(&[one.clone(), two.clone()]);
        let mut diagnostics = Diagnostics::default();
        let trees = parse_layers(&whole, &mut diagnostics);
        let Some(Some(Spanned {
            value: Tree::Map(entries),
            ..
        })) = trees.last()
        else {
            panic!("{trees:?}")
        };
        let Tree::Map(inner) = &entries[0].value.value else {
            panic!("{entries:?}")
        };
        let place = inner[0].value.span;
        assert_eq!(&whole.text[place.start..place.end], "e");
        assert_eq!(whole.placed(place), (two.clone(), Span::new(8, 9)));
        assert_eq!(whole.line_column(place.start), (2, 6));
        assert_eq!(&**whole.name_at(place.start), "2");
        assert_eq!(&**whole.name_at(4), "1", "the end of a file is in it");
        assert_eq!(whole.layers(), [one.clone(), two]);
        assert_eq!(one.layers(), std::slice::from_ref(&one));
        assert_eq!(Source::layered(std::slice::from_ref(&one)), one);
    }
}
