//! The timeline: a row for each step, in it its attempts, the waits between them and what each of them did.
//!
//! Made of boxes with positions in percent, so that it fits a phone as well as a screen and needs no script.

use super::dag::class;
use super::markup::Markup;
use super::record::{Attempt, Detail, Record};
use super::sentence::since;
use crate::cli::console::{Entry, look};
use crate::cli::text;

/// How much of the width a time takes in which nobody worked at the run.
const PAUSE: f64 = 0.06;

pub(super) fn gantt(m: &mut Markup, record: &Record) {
    let scale = Scale::of(record);
    m.within("div", &[("class", "gantt")], |m| {
        m.within("div", &[("class", "lines"), ("aria-hidden", "true")], |m| {
            for tick in scale.ticks() {
                line(m, "tick", scale.at(tick));
            }
            if let Some((_, at)) = &record.view.point_of_no_return {
                line(m, "last", scale.at(*at));
            }
            for resumed in &record.resumed {
                line(m, "resumed", scale.at(resumed.at_ms));
            }
        });
        axis(m, &scale);
        marks(m, record, &scale);
        for (depth, entry) in record.lines() {
            if entry.started_ms.is_some() {
                row(m, record, &scale, depth, entry);
            }
        }
    });
}

fn axis(m: &mut Markup, scale: &Scale) {
    m.within("div", &[("class", "row axis")], |m| {
        m.leaf("span", "name", "");
        m.within("span", &[("class", "track")], |m| {
            for tick in scale.ticks() {
                let place = format!("left:{:.3}%", scale.at(tick));
                m.within("span", &[("class", "at"), ("style", &place)], |m| {
                    m.text(&label(tick));
                });
            }
        });
    });
}

/// `0.2s`: on an axis more digits say no more.
fn label(tick: f64) -> String {
    if tick < 60_000.0 {
        format!("{}s", tick / 1000.0)
    } else {
        text::duration(tick)
    }
}

/// What the vertical lines are.
fn marks(m: &mut Markup, record: &Record, scale: &Scale) {
    let mut all: Vec<(&str, f64, String)> = Vec::new();
    if let Some((path, at)) = &record.view.point_of_no_return {
        let said = format!("point of no return {} ({path})", since(*at));
        all.push(("last", *at, said));
    }
    for resumed in &record.resumed {
        let pause = text::duration((resumed.at_ms - resumed.since_ms).max(0.0));
        let said = format!(
            "resumed {} after {pause} by {}",
            since(resumed.at_ms),
            resumed.runner
        );
        all.push(("resumed", resumed.at_ms, said));
    }
    for (class, at, said) in all {
        let x = scale.at(at);
        // Beyond this there is more room before the line than behind it for a text as long as these.
        let place = if x > 38.0 {
            format!("right:{:.3}%", 100.0 - x)
        } else {
            format!("left:{x:.3}%")
        };
        let class = format!("mark {class}");
        m.within("div", &[("class", "row marks")], |m| {
            m.leaf("span", "name", "");
            m.within("span", &[("class", "track")], |m| {
                m.within("span", &[("class", &class), ("style", &place)], |m| {
                    m.text(&said);
                });
            });
        });
    }
}

fn row(m: &mut Markup, record: &Record, scale: &Scale, depth: usize, entry: &Entry) {
    let (sign, _, word, tone) = look(entry.status);
    let took = entry.took_ms(record.view.now_ms).unwrap_or(0.0);
    let class_of_row = format!("row {}", class(tone));
    let indent = format!("--depth:{}", depth.min(8));
    m.within(
        "div",
        &[("class", &class_of_row), ("style", &indent)],
        |m| {
            let whole = format!("{}: {word}, {}", entry.path, text::duration(took));
            m.within("span", &[("class", "name"), ("title", &whole)], |m| {
                m.leaf("b", "sign", sign);
                m.leaf("span", "what", &entry.label);
                if let Some(node) = &entry.node {
                    m.leaf("span", "node", node);
                }
                m.leaf("span", "took", &text::duration(took));
            });
            m.within("span", &[("class", "track")], |m| {
                let (Some(start), end) = (entry.started_ms, entry.ended_ms) else {
                    return;
                };
                let end = end.unwrap_or(record.view.now_ms);
                let detail = record.about(&entry.path);
                let attempts = detail.map_or(&[][..], |d: &Detail| &d.attempts);
                if attempts.is_empty() || (!entry.children.is_empty() && attempts.len() == 1) {
                    bar(m, scale, "whole", start, end, &whole);
                }
                if entry.children.is_empty() || attempts.len() > 1 {
                    attempted(m, record, scale, entry, attempts);
                }
                for effect in record.effects_of(&entry.path) {
                    let end = effect.ended_ms.unwrap_or(record.view.now_ms);
                    let said = format!("{}: {}", effect.forecast.summary, effect.word());
                    let class = if effect.outcome.as_deref() == Some("done") {
                        "effect"
                    } else {
                        "effect doubt"
                    };
                    bar(m, scale, class, effect.started_ms, end, &said);
                }
            });
        },
    );
}

fn attempted(m: &mut Markup, record: &Record, scale: &Scale, entry: &Entry, attempts: &[Attempt]) {
    for (index, attempt) in attempts.iter().enumerate() {
        let end = attempt.ended_ms.unwrap_or(record.view.now_ms);
        let (_, _, word, tone) = look(entry.status);
        let (class, said) = match (&attempt.failure, attempt.lost) {
            (Some(failure), _) => ("bad", failure.message.as_str()),
            (None, true) => ("warn", "its runner died"),
            (None, false) => (class(tone), word),
        };
        let took = text::duration(end - attempt.started_ms);
        let said = format!("attempt {}, {took}: {said}", attempt.number);
        let class = format!("attempt {class}");
        bar(m, scale, &class, attempt.started_ms, end, &said);
        if let Some(next) = attempts.get(index + 1) {
            let wait = text::duration((next.started_ms - end).max(0.0));
            let said = format!("{wait} until the next attempt");
            bar(m, scale, "wait", end, next.started_ms, &said);
        }
    }
}

fn bar(m: &mut Markup, scale: &Scale, class: &str, start: f64, end: f64, said: &str) {
    let (left, right) = (scale.at(start), scale.at(end.max(start)));
    let place = format!("left:{left:.3}%;width:{:.3}%", right - left);
    let class = format!("bar {class}");
    let attributes = [
        ("class", class.as_str()),
        ("style", place.as_str()),
        ("title", said),
    ];
    m.within("i", &attributes, |_| {});
}

fn line(m: &mut Markup, class: &str, at: f64) {
    let place = format!("left:{at:.3}%");
    m.within("i", &[("class", class), ("style", &place)], |_| {});
}

/// From times of the run to percent of the width. The time between a runner's death and the next one takes little
/// room, however long it was.
struct Scale {
    /// Beginning and end of times in which nobody worked at the run.
    pauses: Vec<(f64, f64)>,
    /// How long a pause is drawn.
    pause: f64,
    end: f64,
    /// All of it, as drawn.
    drawn: f64,
}

impl Scale {
    fn of(record: &Record) -> Self {
        Self::with(
            record.view.now_ms,
            record
                .resumed
                .iter()
                .map(|r| (r.since_ms, r.at_ms.max(r.since_ms)))
                .collect(),
        )
    }

    fn with(end: f64, pauses: Vec<(f64, f64)>) -> Self {
        let idle: f64 = pauses.iter().map(|(from, to)| to - from).sum();
        let worked = (end - idle).max(1.0);
        let pause = worked * PAUSE;
        let mut scale = Self {
            pauses,
            pause,
            end,
            drawn: 1.0,
        };
        scale.drawn = scale.draw(end).max(1.0);
        scale
    }

    /// Percent from the left.
    fn at(&self, ms: f64) -> f64 {
        (self.draw(ms) / self.drawn * 100.0).clamp(0.0, 100.0)
    }

    fn draw(&self, ms: f64) -> f64 {
        let mut drawn = ms;
        for (from, to) in &self.pauses {
            let whole = to - from;
            if whole <= self.pause || ms <= *from {
                continue;
            }
            let passed = (ms - from).min(whole);
            drawn -= passed * (1.0 - self.pause / whole);
        }
        drawn
    }

    /// Round times, four to eight where nothing was shortened; none within a pause.
    fn ticks(&self) -> Vec<f64> {
        let rough = self.drawn / 5.0;
        let units = [
            1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 2e4, 3e4,
            6e4, 12e4, 3e5, 6e5, 12e5, 36e5, 72e5, 216e5, 432e5,
        ];
        let step = units
            .into_iter()
            .find(|unit| *unit >= rough)
            .unwrap_or(rough);
        let mut ticks = Vec::new();
        let mut tick = 0.0;
        // A bound of its own: a journal may claim any time.
        for _ in 0..60 {
            if tick > self.end {
                break;
            }
            let next_to = |other: f64| (self.at(tick) - self.at(other)).abs() < 6.0;
            let paused = self
                .pauses
                .iter()
                .find(|(from, to)| tick > *from && tick < *to);
            if let Some((_, to)) = paused {
                tick = ((to / step).floor() + 1.0) * step;
                continue;
            }
            if !ticks.last().is_some_and(|last| next_to(*last)) {
                ticks.push(tick);
            }
            tick += step;
        }
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_takes_little_room_and_times_stay_in_order() {
        let scale = Scale::with(3_602_000.0, vec![(1000.0, 3_601_000.0)]);
        let at: Vec<f64> = [0.0, 500.0, 1000.0, 2_000_000.0, 3_601_000.0, 3_602_000.0]
            .iter()
            .map(|ms| scale.at(*ms))
            .collect();
        assert!(at.is_sorted(), "{at:?}");
        assert!((at[0], at[5]) == (0.0, 100.0), "{at:?}");
        assert!(at[4] - at[2] < 10.0, "{at:?}");
        assert!(at[2] > 40.0, "{at:?}");
    }

    #[test]
    fn ticks_are_round_and_few() {
        for (end, expected) in [
            (824.0, &[0.0, 200.0, 400.0, 600.0, 800.0][..]),
            (0.0, &[0.0]),
            (61_000.0, &[0.0, 20_000.0, 40_000.0, 60_000.0]),
        ] {
            assert_eq!(Scale::with(end, Vec::new()).ticks(), expected);
        }
        assert!(Scale::with(1e15, Vec::new()).ticks().len() <= 12);
    }
}
