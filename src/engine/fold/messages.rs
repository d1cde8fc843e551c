//! What steps noted and what people wrote to the run.

use super::{IllegalEvent, illegal};
use crate::engine::action::DEBT;
use crate::engine::{Ask, Decision, Evidence, Message, QUESTION, RunState, StepPath};

impl RunState {
    /// Messages are heard in order, once; a decision belongs to the step that asked.
    pub(super) fn message_heard(
        &mut self,
        message: &Message,
        accepted: bool,
    ) -> Result<(), IllegalEvent> {
        let letter = &message.letter;
        let (path, approved) = match &letter.ask {
            Ask::Cancel => (None, false),
            Ask::Approve { step } => (Some(step), true),
            Ask::Deny { step } => (Some(step), false),
        };
        if message.number <= self.heard {
            return illegal(&StepPath::root(), "a message is heard once, in its order");
        }
        if accepted && let Some(path) = path {
            let asked = self.steps.get_mut(path.as_str());
            let Some(step) = asked.filter(|step| step.question && step.decision.is_none()) else {
                return illegal(&StepPath::root(), "a decision that no step asked for");
            };
            step.decision = Some(Decision {
                approved,
                by: letter.by.clone(),
                reason: letter.reason.clone(),
                at: letter.at.clone(),
            });
        }
        self.heard = message.number;
        Ok(())
    }

    pub(super) fn note(
        &mut self,
        path: &StepPath,
        evidence: &Evidence,
    ) -> Result<(), IllegalEvent> {
        if !path.is_root() && !self.steps.contains_key(path) {
            return illegal(path, "there is no such step");
        }
        if evidence.topic == DEBT {
            self.owe(evidence.text.clone());
        }
        if evidence.topic == QUESTION
            && let Some(step) = self.steps.get_mut(path)
        {
            step.question = true;
        }
        self.degraded |= evidence.degrades();
        self.noted.push(evidence.clone());
        Ok(())
    }

    pub(super) fn owe(&mut self, debt: String) {
        if self.owed.insert(debt.clone()) {
            self.debts.push(debt);
        }
    }
}
