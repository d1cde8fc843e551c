//! Writing to a run that somebody else runs: approve, deny, cancel.

use crate::cli::app::Context;
use crate::cli::args::{RunsCancelArgs, RunsDecideArgs};
use crate::cli::error::{CommandError, Kind};
use crate::cli::exit_codes::Code;
use crate::cli::screen;
use crate::engine::{Ask, RunId};
use crate::runs::{Answer, Records};
use crate::trigger;

pub(super) async fn decide(
    context: &Context,
    args: RunsDecideArgs,
    approve: bool,
) -> Result<Code, CommandError> {
    let records = Records::open(context.global.site.as_deref())?;
    let run = records.find(&args.run).await?.run;
    let step = match args.step {
        Some(step) => step,
        None => only_one(&run, records.asking(&run).await?)?,
    };
    let (ask, done) = if approve {
        (Ask::Approve { step: step.clone() }, "approved")
    } else {
        (Ask::Deny { step: step.clone() }, "denied")
    };
    let answer = records.ask(&run, ask, &args.reason).await?;
    told(context, &run, answer, &format!("`{step}` is {done}"))
}

pub(super) async fn cancel(context: &Context, args: RunsCancelArgs) -> Result<Code, CommandError> {
    let records = Records::open(context.global.site.as_deref())?;
    let run = records.find(&args.run).await?.run;
    let answer = records.ask(&run, Ask::Cancel, &args.reason).await?;
    told(context, &run, answer, "it is being cancelled")
}

pub(super) async fn acknowledge(
    context: &Context,
    args: RunsCancelArgs,
) -> Result<Code, CommandError> {
    let records = Records::open(context.global.site.as_deref())?;
    let run = records.find(&args.run).await?;
    let by = crate::runs::author();
    trigger::acknowledge(&records, &run.cluster, &run.run, &by, &args.reason).await?;
    told(context, &run.run, Answer::Accepted, "it is acknowledged")
}

fn only_one(run: &RunId, mut asking: Vec<String>) -> Result<String, CommandError> {
    match (asking.pop(), asking.as_slice()) {
        (Some(step), []) => Ok(step),
        (None, _) => Err(CommandError::new(
            Kind::Refused,
            format!("no step of run {run} waits for a person"),
        )
        .hint(format!("`pgbaton runs follow {run}` shows what it does"))),
        (Some(last), others) => {
            let steps = others.iter().chain([&last]).cloned().collect::<Vec<_>>();
            Err(CommandError::invalid(format!(
                "more than one step waits for a person: {}",
                steps.join(", ")
            ))
            .hint("name the one that is meant, after the run"))
        }
    }
}

fn told(context: &Context, run: &RunId, answer: Answer, done: &str) -> Result<Code, CommandError> {
    match answer {
        Answer::Accepted => {
            if context.global.json {
                let said = serde_json::json!({ "run": run, "accepted": true });
                screen::data(&format!("{said}\n"));
            } else {
                screen::note(&format!("run {run}: {done}\n"));
            }
            Ok(Code::Ok)
        }
        Answer::Refused(why) => Err(CommandError::new(
            Kind::Refused,
            format!("run {run} refuses: {why}"),
        )),
        Answer::None => Err(CommandError::new(
            Kind::Failed,
            format!("run {run} has not answered; it may yet"),
        )
        .hint(format!(
            "its process may be frozen or its machine busy: `pgbaton runs show {run}` tells where it stands"
        ))),
    }
}
