//! What the world is told of a watch: each incident once, not each look.

use super::super::analysis::Analysis;
use super::super::code::Code;
use super::super::gate::Passage;
use super::super::readiness::Obstacle;
use super::Sentry;
use crate::notify::News;
use crate::runs::Order;
use crate::site::NewsKind;
use serde_json::json;
use std::collections::BTreeSet;

/// So many looks in a row must come to the same before it is told: a standby that is restarted is no news.
const LOOKS: u32 = 2;

/// Something that is not as it should be, from the look that found it to the one that finds all well.
#[derive(Debug)]
pub(in super::super) struct Incident {
    /// When it began: RFC 3339, UTC. Its name, too.
    id: String,
    /// What it was so far.
    codes: BTreeSet<Code>,
    /// What was held back so far, and why.
    held: BTreeSet<String>,
}

/// Whether a failover would succeed, as it was last told.
#[derive(Debug, Default)]
pub(in super::super) struct Readiness {
    /// It was told that it would not.
    told: bool,
    /// So many looks in a row have contradicted what was told.
    against: u32,
}

impl Readiness {
    /// What there is to tell after a look; `obstacles` are none where nobody can say.
    fn judge(&mut self, obstacles: Option<&[Obstacle]>) -> Option<NewsKind> {
        let obstacles = obstacles?;
        let grave = obstacles.iter().any(|obstacle| obstacle.code.is_grave());
        if grave == self.told {
            self.against = 0;
            return None;
        }
        self.against += 1;
        if self.against < LOOKS {
            return None;
        }
        self.against = 0;
        self.told = grave;
        Some(if grave {
            NewsKind::NotReady
        } else {
            NewsKind::Ready
        })
    }
}

impl Sentry {
    /// The incident that goes on.
    pub(super) fn incident(&self) -> Option<String> {
        self.incident.as_ref().map(|incident| incident.id.clone())
    }

    /// It is not well: tells it once, and once more where it has become something else.
    pub(super) fn not_well(&mut self, found: &Analysis) {
        let is_new = self.incident.is_none();
        let incident = self.incident.get_or_insert_with(|| Incident {
            id: jiff::Timestamp::now().to_string(),
            codes: BTreeSet::new(),
            held: BTreeSet::new(),
        });
        if !incident.codes.insert(found.code) {
            return;
        }
        let event = if is_new {
            NewsKind::IncidentBegun
        } else {
            NewsKind::IncidentChanged
        };
        let news = self.news(event, found, found.text.clone());
        self.desk.announce(news);
    }

    /// All is well.
    pub(super) fn well(&mut self, found: &Analysis) {
        if self.incident.is_some() {
            let news = self.news(NewsKind::IncidentEnded, found, found.text.clone());
            self.desk.announce(news);
        }
        self.incident = None;
    }

    /// Something was not started; each reason is told once in an incident.
    pub(super) fn held(&mut self, found: &Analysis, passage: &Passage, order: &Order, text: &str) {
        let Some(incident) = &mut self.incident else {
            return;
        };
        if !incident.held.insert(passage.reason()) {
            return;
        }
        // Nobody but a person stands between it and the cluster: what it would do is what there is to decide about.
        let is_foretold = matches!(passage, Passage::Observe | Passage::Open);
        let event = if is_foretold {
            NewsKind::WouldFailOver
        } else {
            NewsKind::HeldBack
        };
        let mut news = self.news(event, found, text.to_owned());
        news.details["passage"] = json!(passage);
        if is_foretold {
            let notice = self.notice(found, text.to_owned());
            self.desk.foretell(order.clone(), notice, news);
        } else {
            self.desk.announce(news);
        }
    }

    /// Whether a failover would succeed, where that has changed.
    pub(super) fn could_fail_over(&mut self, obstacles: Option<&[Obstacle]>) {
        let Some(event) = self.readiness.judge(obstacles) else {
            return;
        };
        let grave: Vec<&Obstacle> = obstacles
            .unwrap_or_default()
            .iter()
            .filter(|obstacle| obstacle.code.is_grave())
            .collect();
        let text = if grave.is_empty() {
            "a failover would succeed again, as far as is known".to_owned()
        } else {
            let texts: Vec<&str> = grave.iter().map(|o| o.text.as_str()).collect();
            format!("a failover would not succeed: {}", texts.join("; "))
        };
        let cluster = &self.cluster.inventory().cluster;
        let news = News::now(event, cluster, text).with(json!({ "obstacles": grave }));
        self.desk.announce(news);
    }

    fn news(&self, event: NewsKind, found: &Analysis, text: String) -> News {
        let cluster = &self.cluster.inventory().cluster;
        let news = News::now(event, cluster, text).with(json!({
            "code": found.code,
            "primary": found.primary,
        }));
        match &self.incident {
            Some(incident) => news.of_incident(&incident.id),
            None => news,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::readiness::ObstacleCode;
    use super::*;

    #[test]
    fn a_change_is_told_once_and_only_when_it_lasts() {
        let obstacle = |code| Obstacle {
            code,
            text: String::new(),
        };
        let grave = [obstacle(ObstacleCode::NoCandidate)];
        let slight = [obstacle(ObstacleCode::NoRewind)];
        let looks: [(Option<&[Obstacle]>, Option<NewsKind>); 12] = [
            (Some(&[]), None),
            (Some(&grave), None),
            (Some(&slight), None),
            (Some(&grave), None),
            // Nobody can say: that is no answer, and ends nothing.
            (None, None),
            (Some(&grave), Some(NewsKind::NotReady)),
            (Some(&grave), None),
            (Some(&grave), None),
            (Some(&[]), None),
            (Some(&slight), Some(NewsKind::Ready)),
            (Some(&[]), None),
            (Some(&[]), None),
        ];
        let mut readiness = Readiness::default();
        for (number, (obstacles, told)) in looks.into_iter().enumerate() {
            assert_eq!(readiness.judge(obstacles), told, "look {number}");
        }
    }
}
