//! A plan for people: what would be done and why, what decides, what nobody can know, and the cluster before and after.

use super::super::console::why_not;
use super::super::exit_codes::Code;
use super::super::paint::{Paint, Tone};
use super::super::{text, topology_table};
use super::effects;
use crate::engine::{Consequence, Outcome, PAID, StepStatus};
use crate::runs::{Foreseen, Plan, PlannedStep, Supposed, changes};
use std::fmt::Write as _;

/// How wide names are before what is said about them.
const INDENT: usize = 10;

/// The whole plan; ends with a newline. Sentences are wrapped where `columns` are given, statements and commands are
/// broken anywhere, and nothing is cut.
pub(super) fn render(plan: &Plan, paint: Paint, columns: Option<usize>) -> String {
    let mut page = Page {
        text: String::new(),
        paint,
        columns: columns.unwrap_or(usize::MAX),
    };
    page.heading(plan);
    page.section("Steps");
    for step in &plan.steps {
        page.step(step);
    }
    page.decisions(plan);
    page.stopped(plan);
    page.supposed(
        "Taken for granted: nobody can know it before",
        &plan.assumptions,
    );
    page.supposed("Not known", &plan.unknown);
    page.may_run(plan);
    page.debts(plan);
    page.table("Before", &plan.before, columns);
    page.table("After, as foretold", &plan.after, columns);
    page.details(plan);
    page.outcome(plan);
    page.text
}

/// A page under construction; writing to its text cannot fail.
struct Page {
    text: String,
    paint: Paint,
    columns: usize,
}

impl Page {
    fn section(&mut self, title: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(&self.paint.strong(title));
        self.text.push('\n');
    }

    /// A sentence behind a name that begins at `indent`, wrapped below itself.
    fn item(&mut self, indent: usize, tone: Tone, name: &str, sentence: &str) {
        let name = if text::width(name) < INDENT {
            text::pad(name, INDENT)
        } else {
            format!("{name}  ")
        };
        let first = indent + text::width(&name);
        let below = (indent + INDENT).min(first);
        let room = self.columns.saturating_sub(first).max(20);
        let lines = text::wrap(&text::one_line(sentence), room);
        for (index, line) in lines.iter().enumerate() {
            if index == 0 {
                let name = self.paint.tone(tone, &name);
                let _ = writeln!(self.text, "{:indent$}{name}{line}", "");
            } else {
                let _ = writeln!(self.text, "{:below$}{line}", "");
            }
        }
    }

    fn heading(&mut self, plan: &Plan) {
        let version = plan.version.as_deref().unwrap_or_default();
        let title = format!("Plan of {} {version}", plan.playbook);
        let title = format!("{} on {}", title.trim_end(), plan.cluster);
        let title = self.paint.strong(&title).into_owned();
        let _ = writeln!(self.text, "{title}");
        let _ = writeln!(self.text, "Nothing has been changed; made {}", plan.made);
        for (name, value) in &plan.params {
            let value = match value {
                crate::playbook::Value::Null => continue,
                crate::playbook::Value::String(text) => text.clone(),
                other => other.to_json().to_string(),
            };
            self.item(2, Tone::Faint, name, &value);
        }
    }

    fn step(&mut self, step: &PlannedStep) {
        let (sign, ascii, word, tone) = look(step);
        let sign = self.paint.sign(sign, ascii);
        let indent = 2 + 2 * step.depth;
        let what = match (&step.action, &step.node) {
            (Some(action), Some(node)) if *action == step.label => format!(" {node}"),
            (Some(action), Some(node)) => format!(" ({action}) {node}"),
            (Some(action), None) if *action != step.label => format!(" ({action})"),
            _ => String::new(),
        };
        let sign = self.paint.tone(tone, sign).into_owned();
        let word = self.paint.tone(tone, word).into_owned();
        let label = self.paint.strong(&step.label).into_owned();
        let _ = writeln!(self.text, "{:indent$}{sign} {label}{what}: {word}", "");
        let below = indent + 2;
        if let Some(skipped) = &step.skipped {
            self.sentence(below, &why_not(skipped));
        }
        let is_failed = step.status == StepStatus::Failed;
        if let Some(why) = step.why.as_deref().filter(|_| !is_failed) {
            self.sentence(below, why);
        }
        if let Some(failure) = step.failure.as_ref().filter(|_| is_failed) {
            self.sentence(below, &failure.message);
        }
        for forecast in &step.reads {
            let really = step.foreseen == Some(Foreseen::Read);
            let verb = if really { "read now" } else { "would read" };
            self.sentence(below, &format!("{verb}: {}", forecast.summary));
            self.exact(below + 4, &forecast.rendered);
        }
        for effect in &step.effects {
            self.sentence(below, &effects::headline(effect, self.paint));
            self.exact(below + 4, &effect.rendered);
        }
        if let Some(foreseen) = step.foreseen {
            self.sentence(below, effects::outputs(foreseen));
        }
    }

    fn sentence(&mut self, indent: usize, sentence: &str) {
        let room = self.columns.saturating_sub(indent).max(20);
        for line in text::wrap(&text::one_line(sentence), room) {
            let _ = writeln!(self.text, "{:indent$}{line}", "");
        }
    }

    /// As it would be sent, broken where the terminal ends.
    fn exact(&mut self, indent: usize, lines: &[String]) {
        let room = self.columns.saturating_sub(indent).max(20);
        for text in lines {
            for (index, line) in text.lines().enumerate() {
                // What belongs to the line above stands a little further in.
                let indent = indent + 2 * usize::from(index > 0);
                for part in text::broken(line, room.saturating_sub(2)) {
                    let part = self.paint.faint(&part).into_owned();
                    let _ = writeln!(self.text, "{:indent$}{part}", "");
                }
            }
        }
    }

    fn decisions(&mut self, plan: &Plan) {
        let mut said = Vec::new();
        for decision in plan
            .decisions
            .iter()
            .filter(|d| !matches!(d.topic.as_str(), "debt" | PAID))
        {
            // What two steps found the same is told once.
            let what = (&decision.topic, &decision.text);
            if said.contains(&what) {
                continue;
            }
            if said.is_empty() {
                self.section("Decisions and evidence");
            }
            said.push(what);
            let waived = decision.text.starts_with("WAIVED");
            let tone = if waived { Tone::Bad } else { Tone::Plain };
            self.item(2, tone, &decision.topic, &decision.text);
        }
    }

    fn stopped(&mut self, plan: &Plan) {
        let Some(failure) = &plan.failure else {
            return;
        };
        let title = match failure.consequence {
            Consequence::Refuse => "What refuses it",
            Consequence::Hold => "What holds it for a person",
            Consequence::Fail => "What makes it fail",
        };
        self.section(title);
        if let Some(at) = &plan.at {
            self.item(2, Tone::Plain, "where", &at.to_string());
        }
        self.item(2, Tone::Bad, "what", &failure.message);
        if let Some(help) = &failure.help {
            self.item(2, Tone::Strong, "do next", help);
        }
    }

    fn supposed(&mut self, title: &str, all: &[Supposed]) {
        if all.is_empty() {
            return;
        }
        self.section(title);
        for one in all {
            self.item(2, Tone::Warn, &one.about, &one.text);
        }
    }

    fn may_run(&mut self, plan: &Plan) {
        let unsure: Vec<&PlannedStep> = plan.unsure().collect();
        if unsure.is_empty() {
            return;
        }
        self.section("May run: it hangs on what nobody can know before");
        for step in unsure {
            let why = step.skipped.as_ref().map(why_not);
            let why = why.unwrap_or_else(|| "something within it may or may not run".to_owned());
            self.item(2, Tone::Warn, &step.path.to_string(), &why);
        }
    }

    fn debts(&mut self, plan: &Plan) {
        if plan.debts.is_empty() {
            return;
        }
        self.section("Left to do afterwards");
        for (index, debt) in plan.debts.iter().enumerate() {
            self.item(2, Tone::Warn, &format!("{}.", index + 1), debt);
        }
    }

    fn table(&mut self, title: &str, topology: &crate::cluster::Topology, columns: Option<usize>) {
        self.section(title);
        let columns = columns.unwrap_or(usize::MAX);
        self.text
            .push_str(&topology_table::render(topology, self.paint, columns));
    }

    fn details(&mut self, plan: &Plan) {
        let changes = changes(&plan.details_before, &plan.details_after);
        if changes.is_empty() {
            return;
        }
        self.section("Settings and slots that change, as foretold");
        for (node, change) in changes {
            let arrow = self.paint.sign("→", "->");
            let change = change.replace('→', arrow);
            self.item(2, Tone::Plain, node.as_str(), &change);
        }
    }

    fn outcome(&mut self, plan: &Plan) {
        self.section("Outcome");
        let (word, tone) = match plan.outcome {
            Outcome::Ok => ("ok", Tone::Good),
            Outcome::Degraded => ("degraded", Tone::Warn),
            Outcome::Failed => ("failed", Tone::Bad),
            Outcome::Refused => ("refused", Tone::Bad),
            Outcome::Held => ("held", Tone::Warn),
            Outcome::Cancelled => ("cancelled", Tone::Warn),
        };
        let code = Code::from(plan.outcome).number();
        let known = if plan.unsure().next().is_some() {
            ", as far as it can be known"
        } else {
            ""
        };
        let sentence = format!("the run would end so, with exit code {code}{known}");
        self.item(2, tone, word, &sentence);
    }
}

/// How a step's forecast looks: sign, sign where there is no Unicode, word, tone.
fn look(step: &PlannedStep) -> (&'static str, &'static str, &'static str, Tone) {
    match step.status {
        StepStatus::Ok if step.unchanged => ("✓", "+", "nothing to do", Tone::Good),
        StepStatus::Ok if step.effects.is_empty() => ("✓", "+", "ok", Tone::Good),
        StepStatus::Ok => ("✓", "+", "to do", Tone::Good),
        StepStatus::Rescued => ("↺", "~", "fails, and is rescued", Tone::Warn),
        StepStatus::Skipped => ("↷", "-", "skipped", Tone::Faint),
        StepStatus::Failed => {
            let word = match step.failure.as_ref().map(|failure| failure.consequence) {
                Some(Consequence::Refuse) => "REFUSES",
                Some(Consequence::Hold) => "HOLDS",
                _ => "FAILS",
            };
            ("✗", "x", word, Tone::Bad)
        }
        StepStatus::NotRun => ("○", "o", "not run", Tone::Faint),
        StepStatus::Cancelled => ("⊘", "c", "is ended", Tone::Warn),
        StepStatus::MayRun => ("?", "?", "may run", Tone::Warn),
        StepStatus::Pending | StepStatus::Running => ("·", ".", "has no turn", Tone::Faint),
    }
}
