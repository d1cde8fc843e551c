//! The cluster as two trees: who followed whom before the run, and after it.

use super::markup::Markup;
use super::record::Record;
use super::topology::{self, Place};

pub(super) fn before_and_after(m: &mut Markup, record: &Record) {
    let before = topology::before(record);
    if before.is_empty() {
        m.leaf("p", "soft", "The journal holds no facts of the cluster.");
        return;
    }
    let after = topology::after(record);
    m.within("div", &[("class", "pair")], |m| {
        card(m, "Before, as the run found it", &before, &before);
        let now = if record.view.ended.is_some() {
            "After, as far as the run knew"
        } else {
            "Now, as far as the run knew when it was last heard of"
        };
        card(m, now, &after, &before);
    });
    m.leaf(
        "p",
        "soft",
        "The second is not a new look at the cluster: it is what the run found at its start, did, and verified. \
         How the cluster is now: pgbaton status.",
    );
}

fn card(m: &mut Markup, title: &str, places: &[Place], before: &[Place]) {
    m.within("div", &[("class", "card")], |m| {
        m.leaf("h3", "", title);
        m.within("ul", &[], |m| {
            let known = |name: &str| places.iter().any(|p| p.name == name);
            for place in places {
                let root = place.upstream.as_deref().is_none_or(|up| !known(up));
                if root || in_circle(places, place) {
                    node(m, place, places, before, 0);
                }
            }
        });
    });
}

/// Whether following the upstreams from here never ends, so that nothing stands above it.
fn in_circle(places: &[Place], from: &Place) -> bool {
    let above = |place: &Place| {
        let up = place.upstream.as_deref()?;
        places.iter().find(|p| p.name == up)
    };
    let mut here = from;
    for _ in 0..places.len() {
        match above(here) {
            None => return false,
            Some(up) if up.name == from.name => return true,
            Some(up) => here = up,
        }
    }
    false
}

fn node(m: &mut Markup, place: &Place, places: &[Place], before: &[Place], depth: usize) {
    let was = before.iter().find(|b| b.name == place.name);
    let changed = was.is_some_and(|was| {
        (&was.role, &was.upstream, was.up, was.timeline)
            != (&place.role, &place.upstream, place.up, place.timeline)
    });
    let class = if changed { "changed" } else { "" };
    m.within("li", &[("class", class)], |m| {
        m.leaf("span", "node", &place.name);
        let down = place.up == Some(false);
        let (role, tone) = match (place.role.as_deref(), down) {
            (Some("primary"), true) => ("was primary", "bad"),
            (Some("primary"), false) => ("primary", "good"),
            (Some(role), _) => (role, "busy"),
            (None, _) => ("role not known", "faint"),
        };
        m.leaf("span", &format!("badge role {tone}"), role);
        m.leaf("span", "told", &standing(place));
        for told in &place.told {
            m.leaf("span", "told", &format!("· {told}"));
        }
        let below: Vec<&Place> = places
            .iter()
            .filter(|p| p.upstream.as_deref() == Some(place.name.as_str()))
            .collect();
        // Deeper than there are nodes can only be a circle.
        if !below.is_empty() && depth < places.len() && !in_circle(places, place) {
            m.within("ul", &[], |m| {
                for inner in below {
                    node(m, inner, places, before, depth + 1);
                }
            });
        }
    });
}

fn standing(place: &Place) -> String {
    let mut parts = Vec::new();
    match place.up {
        Some(true) => {}
        Some(false) => parts.push("does not answer".to_owned()),
        None => parts.push("not looked at".to_owned()),
    }
    if let Some(timeline) = place.timeline {
        parts.push(format!("timeline {timeline}"));
    }
    match (&place.upstream, place.attached) {
        (Some(upstream), Some(true)) => parts.push(format!("streams from {upstream}")),
        (Some(upstream), Some(false)) => {
            parts.push(format!("set to follow {upstream}, does not stream"));
        }
        (Some(upstream), None) => parts.push(format!("set to follow {upstream}")),
        (None, _) if place.role.as_deref() == Some("standby") => {
            parts.push("follows nobody".to_owned());
        }
        (None, _) => {}
    }
    parts.join(", ")
}
