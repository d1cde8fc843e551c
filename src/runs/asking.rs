//! Writing to a run that somebody else runs, and the run's answer.

use super::{Records, RunsError};
use crate::engine::{Ask, Event, Letter, QUESTION, RunId, RunState, StepStatus};
use crate::journal::Standing;
use crate::transport::user_name;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a run may take to answer. It looks several times a second; a frozen one never answers.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often is looked for the answer.
const LOOK: Duration = Duration::from_millis(100);

/// What a run made of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Accepted,
    /// It has no effect, and why.
    Refused(String),
    /// There was none in time: the message stands, and may have its effect yet.
    None,
}

impl Records {
    /// The steps of a run that wait for a person.
    pub async fn asking(&self, run: &RunId) -> Result<Vec<String>, RunsError> {
        let events = self.read(run).await?;
        let state = RunState::fold(&events).unwrap_or_default();
        let mut asking = Vec::new();
        for event in &events {
            if let Event::Noted { path, evidence } = &event.event
                && evidence.topic == QUESTION
                && state.step(&path.0).is_some_and(|step| {
                    step.status == StepStatus::Running && step.attempting && !step.is_answered()
                })
                && !asking.contains(&path.to_string())
            {
                asking.push(path.to_string());
            }
        }
        Ok(asking)
    }

    /// Writes to a run that is under way, as the user of this machine, and waits for its answer.
    pub async fn ask(&self, run: &RunId, ask: Ask, reason: &str) -> Result<Answer, RunsError> {
        self.ask_as(author(), run, ask, reason).await
    }

    /// The same as somebody else, who was recognised by the caller.
    pub async fn ask_as(
        &self,
        by: String,
        run: &RunId,
        ask: Ask,
        reason: &str,
    ) -> Result<Answer, RunsError> {
        let unheard = |why: &str| RunsError::Unheard {
            run: run.clone(),
            why: why.to_owned(),
        };
        match self.standing(run).await? {
            Standing::UnderWay => {}
            Standing::Interrupted => {
                return Err(unheard("nobody runs it; `pgbaton runs resume` would"));
            }
            Standing::Ended(_) => return Err(unheard("it has ended")),
        }
        let letter = Letter {
            at: jiff::Timestamp::now()
                .strftime("%Y-%m-%dT%H:%M:%SZ")
                .to_string(),
            by,
            reason: reason.to_owned(),
            ask,
        };
        let number = self.store().await?.post(run, &letter).await?;
        let begun = Instant::now();
        let mut next = 0;
        loop {
            let standing = self.standing(run).await?;
            for event in self.read_from(run, next).await? {
                next = event.seq + 1;
                if let Event::MessageHeard {
                    message,
                    accepted,
                    why,
                } = event.event
                    && message.number == number
                {
                    return Ok(if accepted {
                        Answer::Accepted
                    } else {
                        Answer::Refused(why.unwrap_or_default())
                    });
                }
            }
            match standing {
                Standing::Ended(_) => {
                    return Ok(Answer::Refused("it ended before it read that".to_owned()));
                }
                _ if begun.elapsed() > PATIENCE => return Ok(Answer::None),
                _ => sleep(LOOK).await,
            }
        }
    }
}

/// Who asks for something: the user of this machine, by the process and not by what its environment says; whoever came by
/// sudo.
pub fn author() -> String {
    let host = rustix::system::uname();
    let uid = rustix::process::getuid().as_raw();
    let user = std::env::var("SUDO_USER").ok().filter(|_| uid == 0);
    let user = user.or_else(|| user_name(uid));
    let user = user.unwrap_or_else(|| uid.to_string());
    format!("{user}@{}", host.nodename().to_string_lossy())
}
