//! A drawing as a picture: self-contained, readable on light and on dark ground, every text inside its box.

use super::layers::{Layout, lay_out};
use super::model::{Drawing, Entered, Group, Part, StepBox};
use crate::cli::text;
use std::fmt::Write as _;

/// No monospaced font in common use is wider than this, in parts of its size.
const ADVANCE: f64 = 0.62;
const TITLE: f64 = 13.0;
const SMALL: f64 = 11.0;
const LINE: f64 = 16.0;
const PADDING: f64 = 10.0;
/// The most columns of a line in a box, and the most lines of a condition; the whole text is in the tooltip.
const COLUMNS: usize = 44;
const LINES: usize = 3;
/// Between layers, for the arrows.
const LAYER_GAP: f64 = 36.0;
const MARGIN: f64 = 20.0;
const GROUP_HEAD: f64 = 34.0;

/// Every rule begins with the picture's own class: within a page of HTML they would hold for all of it.
const STYLE: &str = "\
.dag .ground{fill:#fff}.dag .frame{fill:#f6f7f9;stroke:#c4c9d1}.dag .head{fill:#1c2330;font-weight:bold}\
.dag .box{fill:#fff;stroke:#5b6677;stroke-width:1.2}.dag .fence .box{stroke:#9a6700;stroke-width:2}\
.dag .last .box{stroke:#c0262d;stroke-width:2.4}.dag .nested .box{stroke:#1f5fbf;stroke-dasharray:5 3}\
.dag .id{fill:#1c2330;font-weight:bold}.dag .action{fill:#3a4557}.dag .mark{fill:#5b6677;font-style:italic}\
.dag .arrow{fill:none;stroke:#5b6677;stroke-width:1.3}.dag .tip{fill:#5b6677}\
.dag .good .box{fill:#e7f6ea}.dag .warn .box{fill:#fdf2d6}.dag .bad .box{fill:#fde5e5}.dag .busy .box{fill:#e3eefc}\
.dag .faint .box{fill:#f1f2f4;stroke:#b3bac4}.dag .faint .id{fill:#5b6677}\
.dag .state{fill:#3a4557;font-weight:bold}.dag .good .state{fill:#1a6b2f}.dag .warn .state{fill:#7d5300}\
.dag .bad .state{fill:#a81f26}.dag .busy .state{fill:#1f5fbf}.dag .faint .state{fill:#5b6677;font-weight:normal}\
@media screen and (prefers-color-scheme:dark){\
.dag .ground{fill:#14181f}.dag .frame{fill:#1b212b;stroke:#3d4757}.dag .head,.dag .id{fill:#eef1f6}\
.dag .box{fill:#232b38;stroke:#8d99ab}.dag .fence .box{stroke:#e0b040}.dag .last .box{stroke:#ff6b70}\
.dag .nested .box{stroke:#79aefc}.dag .action{fill:#c6cfdc}.dag .mark{fill:#a5b0c0}\
.dag .arrow{stroke:#8d99ab}.dag .tip{fill:#8d99ab}\
.dag .good .box{fill:#17301f}.dag .warn .box{fill:#352a10}.dag .bad .box{fill:#3a1a1d}.dag .busy .box{fill:#16273f}\
.dag .faint .box{fill:#1e242e;stroke:#4a5464}.dag .faint .id{fill:#a5b0c0}\
.dag .state{fill:#c6cfdc}.dag .good .state{fill:#7fd396}.dag .warn .state{fill:#e6bd5c}.dag .bad .state{fill:#ff8d91}\
.dag .busy .state{fill:#8fbcff}.dag .faint .state{fill:#a5b0c0}}";

/// The picture; ends with a newline.
pub(super) fn render(drawing: &Drawing) -> String {
    let groups: Vec<Placed> = drawing
        .groups
        .iter()
        .map(|group| Placed::of(drawing, group))
        .collect();
    let inner = groups.iter().map(|g| g.width).fold(200.0, f64::max);
    let width = inner + 2.0 * MARGIN;
    let mut body = String::new();
    let mut y = MARGIN;
    for group in &groups {
        group.draw(&mut body, MARGIN, y, inner);
        y += group.height + MARGIN;
    }
    let title = escape(&format!("playbook {}", drawing.title));
    format!(
        "<svg class=\"dag\" xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{y:.0}\" \
         viewBox=\"0 0 {width:.0} {y:.0}\" role=\"img\" \
         font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" \
         markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\">\
         <path class=\"tip\" d=\"M0 0L8 4L0 8z\"/></marker></defs>\n\
         <rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n{body}</svg>\n"
    )
}

/// A group with everything measured.
struct Placed<'a> {
    group: &'a Group,
    heading: String,
    layout: Layout,
    /// The top of each layer, from the group's top.
    tops: Vec<f64>,
    /// The height of each layer's highest box.
    heights: Vec<f64>,
    width: f64,
    height: f64,
}

impl<'a> Placed<'a> {
    fn of(drawing: &Drawing, group: &'a Group) -> Self {
        let sizes: Vec<(f64, f64)> = group.boxes.iter().map(size).collect();
        let widths: Vec<f64> = sizes.iter().map(|s| s.0).collect();
        let layout = lay_out(&widths, &group.arrows);
        let mut heights = vec![0.0_f64; layout.layers];
        for (place, (_, height)) in layout.places.iter().zip(&sizes) {
            heights[place.layer] = heights[place.layer].max(*height);
        }
        let mut tops = Vec::new();
        let mut y = GROUP_HEAD + PADDING;
        for height in &heights {
            tops.push(y);
            y += height + LAYER_GAP;
        }
        let bottom = if heights.is_empty() { y } else { y - LAYER_GAP };
        let heading = heading(drawing, group);
        let head = text_width(&heading, TITLE);
        Self {
            group,
            width: layout.width.max(head) + 2.0 * MARGIN,
            height: bottom + MARGIN,
            heading,
            layout,
            tops,
            heights,
        }
    }

    fn draw(&self, out: &mut String, left: f64, top: f64, width: f64) {
        let _ = writeln!(
            out,
            "<rect class=\"frame\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" \
             height=\"{:.1}\" rx=\"8\"/>\n<text class=\"head\" x=\"{:.1}\" y=\"{:.1}\" \
             font-size=\"{TITLE}\">{}</text>",
            self.height,
            left + MARGIN,
            top + 24.0,
            escape(&self.heading)
        );
        let shift = left + (width - self.layout.width) / 2.0;
        for route in &self.layout.arrows {
            let path = self.path(route, shift, top);
            let _ = writeln!(
                out,
                "<path class=\"arrow\" marker-end=\"url(#tip)\" d=\"{path}\"/>"
            );
        }
        for (step, place) in self.group.boxes.iter().zip(&self.layout.places) {
            let (_, height) = size(step);
            let middle = self.tops[place.layer] + self.heights[place.layer] / 2.0;
            draw_box(
                out,
                step,
                shift + place.x,
                top + middle - height / 2.0,
                (place.width, height),
            );
        }
    }

    /// Out of the middle of a box's lower edge, straight down past the boxes of the layers between, into the upper edge.
    fn path(&self, route: &[usize], shift: f64, top: f64) -> String {
        let mut path = String::new();
        let mut from: Option<(f64, f64)> = None;
        for (index, place) in route.iter().enumerate() {
            let here = &self.layout.places[*place];
            let x = shift + here.x;
            let (mut upper, mut lower) = (
                self.tops[here.layer],
                self.tops[here.layer] + self.heights[here.layer],
            );
            if let Some(step) = self.group.boxes.get(*place) {
                let slack = (lower - upper - size(step).1) / 2.0;
                upper += slack;
                lower -= slack;
            }
            upper += top;
            lower += top;
            match from {
                None => {
                    let _ = write!(path, "M{x:.1} {lower:.1}");
                }
                Some((old_x, old_y)) => {
                    let half = f64::midpoint(old_y, upper);
                    let _ = write!(
                        path,
                        "C{old_x:.1} {half:.1} {x:.1} {half:.1} {x:.1} {upper:.1}"
                    );
                    if index + 1 < route.len() {
                        let _ = write!(path, "L{x:.1} {lower:.1}");
                    }
                }
            }
            from = Some((x, lower));
        }
        path
    }
}

fn heading(drawing: &Drawing, group: &Group) -> String {
    let callers: Vec<&str> = group
        .entered_from
        .iter()
        .filter(|(_, _, how)| *how == Entered::Nested)
        .map(|(g, b, _)| drawing.groups[*g].boxes[*b].id.as_str())
        .collect();
    if callers.is_empty() {
        group.title.clone()
    } else {
        format!("{}, run by {}", group.title, callers.join(", "))
    }
}

fn draw_box(out: &mut String, step: &StepBox, x: f64, y: f64, (width, height): (f64, f64)) {
    let class = match step.part {
        Part::Plain => "step",
        Part::Fence => "fence",
        Part::PointOfNoReturn => "last",
        Part::Nested => "nested",
    };
    let class = match &step.state {
        Some(state) => format!("{class} {}", state.class),
        None => class.to_owned(),
    };
    let mut whole = vec![step.id.as_str(), step.action.as_str()];
    whole.extend(step.marks.iter().map(String::as_str));
    whole.extend(step.state.iter().map(|state| state.text.as_str()));
    let _ = writeln!(
        out,
        "<g class=\"{class}\"><title>{}</title><rect class=\"box\" x=\"{:.1}\" y=\"{y:.1}\" \
         width=\"{width:.1}\" height=\"{height:.1}\" rx=\"6\"/>",
        escape(&whole.join("\n")),
        x - width / 2.0
    );
    for (index, (class, size, line)) in lines(step).into_iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "a handful of lines")]
        let baseline = y + PADDING + LINE * (index as f64) + 11.0;
        let _ = writeln!(
            out,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{baseline:.1}\" font-size=\"{size}\" \
             text-anchor=\"middle\">{}</text>",
            escape(&line)
        );
    }
    out.push_str("</g>\n");
}

/// What stands in a box: class, font size, text.
fn lines(step: &StepBox) -> Vec<(&'static str, f64, String)> {
    let short = |text: &str| text::cut(&text::one_line(text), COLUMNS);
    let mut lines = vec![("id", TITLE, short(&step.id))];
    if step.action != step.id {
        lines.push(("action", SMALL, short(&step.action)));
    }
    for mark in &step.marks {
        let wrapped = text::wrap(&text::one_line(mark), COLUMNS);
        for (index, line) in wrapped.iter().take(LINES).enumerate() {
            let more = index + 1 == LINES && wrapped.len() > LINES;
            let line = if more {
                format!("{line} …")
            } else {
                line.clone()
            };
            lines.push(("mark", SMALL, short(&line)));
        }
    }
    lines.extend(
        step.state
            .iter()
            .map(|state| ("state", SMALL, short(&state.text))),
    );
    lines
}

/// Width and height of a box.
fn size(step: &StepBox) -> (f64, f64) {
    let lines = lines(step);
    let widest = lines
        .iter()
        .map(|(_, size, line)| text_width(line, *size))
        .fold(70.0, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "a handful of lines")]
    let height = LINE * (lines.len() as f64) + 2.0 * PADDING - 3.0;
    (widest + 2.0 * PADDING, height)
}

fn text_width(line: &str, size: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "columns of a line")]
    let columns = text::width(line) as f64;
    columns * size * ADVANCE
}

/// For XML: what would be markup is escaped, what XML cannot hold is left out.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::model::samples;
    use super::*;

    #[test]
    fn every_text_fits_its_box() {
        let mut drawing = samples::drawing();
        drawing.groups[0].boxes[0].id = "x".repeat(200);
        for step in drawing.groups.iter().flat_map(|g| &g.boxes) {
            let (width, height) = size(step);
            let lines = lines(step);
            for (_, font, line) in &lines {
                assert!(text_width(line, *font) <= width - 2.0 * PADDING + 0.01);
            }
            assert!(LINE * f64::from(u32::try_from(lines.len()).unwrap()) < height);
        }
    }

    #[test]
    fn the_picture_holds_every_step_and_no_markup_of_theirs() {
        let picture = render(&samples::drawing());
        for id in ["confirm_down", "promote", "check_lsn", "rescue of promote"] {
            assert!(picture.contains(id), "{id}");
        }
        assert!(!picture.contains("<b>"));
        assert!(picture.contains("run by follow"));
        assert_eq!(escape("a<b>&\"'\u{1}"), "a&lt;b&gt;&amp;&quot;&#39;");
    }
}
