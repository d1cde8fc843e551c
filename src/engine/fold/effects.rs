//! How effects and undos change the state of a run.

use super::super::state::{EffectState, RunState, Settled, UndoState};
use super::super::{Forecast, StepPath, StepStatus, UndoStatus, Verdict};
use super::{IllegalEvent, illegal};

impl RunState {
    pub(super) fn effect_intended(
        &mut self,
        path: &StepPath,
        effect: u64,
        forecast: &Forecast,
        point_of_no_return: bool,
    ) -> Result<(), IllegalEvent> {
        let index = self.effects.len();
        if u64::try_from(index) != Ok(effect) {
            return illegal(path, "effects are counted without gaps");
        }
        if point_of_no_return && self.point_of_no_return.as_ref().is_some_and(|p| p != path) {
            return illegal(path, "the point of no return is passed only once");
        }
        let step = self.known(path)?;
        let undoing = step.undo == UndoState::Running;
        let attempting = step.status == StepStatus::Running && step.attempting;
        if !undoing && !attempting {
            return illegal(path, "an effect outside an attempt");
        }
        if undoing && point_of_no_return {
            return illegal(path, "an undo cannot pass the point of no return");
        }
        step.effects.push(index);
        self.effects.push(EffectState {
            path: path.clone(),
            forecast: forecast.clone(),
            undoing,
            settled: None,
        });
        if point_of_no_return {
            self.point_of_no_return = Some(path.clone());
        }
        Ok(())
    }

    pub(super) fn effect_settled(
        &mut self,
        path: &StepPath,
        effect: u64,
        outcome: &str,
        returned: &serde_json::Value,
    ) -> Result<(), IllegalEvent> {
        let found = usize::try_from(effect)
            .ok()
            .and_then(|index| self.effects.get_mut(index))
            .filter(|state| state.path == *path && state.settled.is_none());
        let Some(state) = found else {
            return illegal(path, "no such effect is open");
        };
        state.settled = Some(match outcome {
            "done" => Settled::Done(returned.clone()),
            "failed" => Settled::Failed,
            "unknown" => Settled::Unknown(returned.clone()),
            _ => return illegal(path, "an effect ends done, failed or unknown"),
        });
        Ok(())
    }

    /// A goal that is found reached although this step's own effect was said to have failed: perhaps it did happen. So an
    /// undo looks after it.
    pub(super) fn probed(&mut self, path: &StepPath, verdict: Verdict) -> Result<(), IllegalEvent> {
        let step = self.attempting(path)?;
        if verdict == Verdict::Satisfied {
            for index in step.effects.clone() {
                if let Some(effect) = self.effects.get_mut(index)
                    && effect.settled == Some(Settled::Failed)
                {
                    effect.settled = Some(Settled::Unknown(serde_json::Value::Null));
                }
            }
        }
        Ok(())
    }

    /// A runner died. An undo that was under way is done again from its beginning; what an undo had in hand is of unknown
    /// end. What a step had in hand stays open: the step itself goes on.
    pub(super) fn resumed(&mut self) {
        for effect in &mut self.effects {
            if effect.undoing && effect.settled.is_none() {
                effect.settled = Some(Settled::Unknown(serde_json::Value::Null));
            }
        }
        for step in self.steps.values_mut() {
            if step.undo == UndoState::Running {
                step.undo = UndoState::Not;
            }
        }
        self.undoing = 0;
    }

    pub(super) fn undo_started(&mut self, path: &StepPath) -> Result<(), IllegalEvent> {
        if self.point_of_no_return.is_some() {
            return illegal(path, "nothing is undone after the point of no return");
        }
        let step = self.known(path)?;
        if matches!(step.status, StepStatus::Pending | StepStatus::Running) {
            return illegal(path, "the step has not ended");
        }
        if step.undo != UndoState::Not {
            return illegal(path, "the step was undone already");
        }
        step.undo = UndoState::Running;
        self.undoing += 1;
        Ok(())
    }

    pub(super) fn undo_ended(
        &mut self,
        path: &StepPath,
        status: UndoStatus,
        what: &str,
    ) -> Result<(), IllegalEvent> {
        let settled = self.open_effects(&path.0).is_empty();
        let step = self.known(path)?;
        if step.undo != UndoState::Running {
            return illegal(path, "no undo is under way");
        }
        if !settled {
            return illegal(path, "the undo ended while an effect was open");
        }
        step.undo = UndoState::Ended(status);
        self.undoing -= 1;
        if status == UndoStatus::Failed {
            self.owe(format!("`{path}` was not undone: {what}"));
        }
        Ok(())
    }
}
