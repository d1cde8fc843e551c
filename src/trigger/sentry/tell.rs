//! What a watch tells, and how it stands for whoever asks.

use super::super::analysis::Analysis;
use super::{HeldBack, Notice, Sentry};

impl Sentry {
    /// Tells of a loss, once for as long as it is the same.
    pub(super) async fn tell_loss(
        &mut self,
        found: &Analysis,
        text: String,
        held_back: Option<HeldBack>,
    ) {
        let why = held_back
            .as_ref()
            .map_or_else(|| "told".to_owned(), |held| held.passage.reason());
        self.tell_once(found, why, text, held_back).await;
    }

    /// Tells what came of what was started. That is news however often the loss has been told; why nothing could be started
    /// is told once.
    pub(super) async fn tell_came(&mut self, found: &Analysis, came: String, text: String) {
        self.tell_once(found, came, text, None).await;
    }

    async fn tell_once(
        &mut self,
        found: &Analysis,
        why: String,
        text: String,
        held_back: Option<HeldBack>,
    ) {
        self.not_well(found);
        let news = (found.code, found.primary.clone(), why);
        if self.told.as_ref() == Some(&news) {
            return;
        }
        self.told = Some(news);
        self.tell(found, text, held_back).await;
    }

    pub(super) async fn tell(&self, found: &Analysis, text: String, held_back: Option<HeldBack>) {
        let notice = Notice {
            held_back,
            analysis: Some(found.clone()),
            ..self.notice(found, text)
        };
        self.desk.tell(notice).await;
    }

    pub(super) fn notice(&self, found: &Analysis, text: String) -> Notice {
        Notice {
            cluster: self.cluster.inventory().cluster.clone(),
            incident: self.incident(),
            code: found.code,
            text,
            held_back: None,
            foretold: None,
            analysis: None,
        }
    }

    pub(super) fn publish(&self, found: Analysis) {
        self.state.send_modify(|state| {
            state.looks += 1;
            if state.analysis.as_ref().map(|before| before.code) != Some(found.code) {
                state.since = Some(jiff::Timestamp::now().to_string());
            }
            state.analysis = Some(found);
        });
    }
}
