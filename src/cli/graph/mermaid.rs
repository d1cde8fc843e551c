//! A drawing as a Mermaid flowchart.

use super::model::{Drawing, Entered, Part, StepBox};
use crate::cli::text;
use std::fmt::Write as _;

/// The flowchart; ends with a newline. Ids are made up (a step may be called `end`), texts are escaped.
pub(super) fn render(drawing: &Drawing) -> String {
    let mut out = String::from("flowchart TD\n");
    for (g, group) in drawing.groups.iter().enumerate() {
        let _ = writeln!(out, "  subgraph g{g}[\"{}\"]", escape(&group.title));
        for (b, step) in group.boxes.iter().enumerate() {
            let (open, close) = match step.part {
                Part::Nested => ("[[", "]]"),
                Part::PointOfNoReturn => ("{{", "}}"),
                Part::Fence => ("([", "])"),
                Part::Plain => ("[", "]"),
            };
            let _ = writeln!(out, "    g{g}s{b}{open}\"{}\"{close}", label(step));
        }
        for (from, to) in &group.arrows {
            let _ = writeln!(out, "    g{g}s{from} --> g{g}s{to}");
        }
        out.push_str("  end\n");
    }
    for (g, group) in drawing.groups.iter().enumerate() {
        for (from, step, how) in &group.entered_from {
            let why = match how {
                Entered::Nested => "runs",
                Entered::Rescue => "on failure",
            };
            let _ = writeln!(out, "  g{from}s{step} -. {why} .-> g{g}");
        }
    }
    out
}

fn label(step: &StepBox) -> String {
    let mut lines = vec![format!("<b>{}</b>", escape(&step.id))];
    if step.action != step.id {
        lines.push(escape(&step.action));
    }
    lines.extend(
        step.marks
            .iter()
            .map(|mark| format!("<i>{}</i>", escape(&text::one_line(mark)))),
    );
    lines.join("<br/>")
}

/// Mermaid reads `#quot;` and the like inside quoted texts; everything that is neither a letter nor harmless becomes one.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_alphanumeric() || " _-.,:()[]!=+*/'?".contains(c) {
            out.push(c);
        } else {
            let _ = write!(out, "#{};", u32::from(c));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::model::samples;
    use super::*;

    #[test]
    fn a_playbook_as_mermaid() {
        insta::assert_snapshot!(render(&samples::drawing()));
    }

    #[test]
    fn nothing_in_a_text_can_end_it() {
        assert_eq!(
            escape("\"];x-->y`<b>&#"),
            "#34;]#59;x--#62;y#96;#60;b#62;#38;#35;"
        );
    }
}
