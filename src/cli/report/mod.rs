//! What became of a run: a reader of its journal's events, and of nothing else. As text, as JSON, as a page of HTML.

mod cluster;
mod dag;
mod gantt;
mod json;
mod markup;
mod page;
mod record;
mod sentence;
mod show;
mod steps;
mod style;
mod topology;

#[cfg(test)]
mod tests;

pub(crate) use json::document;
pub(crate) use page::html;
pub(crate) use record::Record;
pub(crate) use show::show;
