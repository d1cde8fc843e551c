//! A drawing for Graphviz.

use super::model::{Drawing, Entered, Part};
use crate::cli::text;
use std::fmt::Write as _;

/// The graph; ends with a newline.
pub(super) fn render(drawing: &Drawing) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "digraph {} {{", quoted(&drawing.title));
    out.push_str("  compound=true; rankdir=TB;\n");
    out.push_str("  node [shape=box, style=rounded, fontname=\"monospace\", fontsize=11];\n");
    for (g, group) in drawing.groups.iter().enumerate() {
        let _ = writeln!(out, "  subgraph cluster_{g} {{");
        let _ = writeln!(out, "    label={}; style=rounded;", quoted(&group.title));
        for (b, step) in group.boxes.iter().enumerate() {
            let mut lines = vec![step.id.clone()];
            if step.action != step.id {
                lines.push(step.action.clone());
            }
            lines.extend(step.marks.iter().map(|m| text::one_line(m)));
            let look = match step.part {
                Part::Plain => "",
                Part::Nested => ", shape=folder",
                Part::Fence => ", style=\"rounded,bold\"",
                Part::PointOfNoReturn => ", shape=octagon, style=bold",
            };
            let _ = writeln!(
                out,
                "    g{g}s{b} [label={}{look}];",
                quoted(&lines.join("\n"))
            );
        }
        for (from, to) in &group.arrows {
            let _ = writeln!(out, "    g{g}s{from} -> g{g}s{to};");
        }
        out.push_str("  }\n");
    }
    for (g, group) in drawing.groups.iter().enumerate() {
        // An edge to a cluster is drawn to one of its nodes and clipped.
        if group.boxes.is_empty() {
            continue;
        }
        for (from, step, how) in &group.entered_from {
            let why = match how {
                Entered::Nested => "runs",
                Entered::Rescue => "on failure",
            };
            let _ = writeln!(
                out,
                "  g{from}s{step} -> g{g}s0 [lhead=cluster_{g}, style=dashed, label={}];",
                quoted(why)
            );
        }
    }
    out.push_str("}\n");
    out
}

fn quoted(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::super::model::samples;
    use super::*;

    #[test]
    fn a_playbook_as_dot() {
        insta::assert_snapshot!(render(&samples::drawing()));
    }

    #[test]
    fn nothing_in_a_text_can_end_it() {
        assert_eq!(quoted("a\"b\\\nc"), "\"a\\\"b\\\\\\nc\"");
    }
}
