//! What a run did, as text and as a page of HTML. Reads its journal and asks no server.

use crate::cli::app::Context;
use crate::cli::args::RunsReportArgs;
use crate::cli::error::CommandError;
use crate::cli::exit_codes::Code;
use crate::cli::keep::keep;
use crate::cli::report::{self, Record};
use crate::cli::screen;
use crate::engine::{Envelope, RunId};
use crate::runs::{Records, playbook_of};

pub(super) async fn show(context: &Context, run: &str) -> Result<Code, CommandError> {
    let recorded = Recorded::read(context, run).await?;
    let record = Record::of(&recorded.events);
    if context.global.json {
        let document = report::document(&record, &recorded.journal);
        screen::data(&format!("{document}\n"));
    } else {
        let columns = screen::size().map(|(columns, _)| columns);
        let text = report::show(&record, &recorded.journal, context.paint, columns);
        screen::data(&text);
    }
    Ok(Code::Ok)
}

pub(super) async fn write_report(
    context: &Context,
    args: RunsReportArgs,
) -> Result<Code, CommandError> {
    let Recorded { run, events, .. } = Recorded::read(context, &args.run).await?;
    // Without its playbook a report lacks the graph, and says so.
    let playbook = playbook_of(&events).ok();
    let html = report::html(&Record::of(&events), playbook.as_ref());
    let file = args
        .out
        .unwrap_or_else(|| format!("pgbaton-{run}.html").into());
    if file.as_os_str() == "-" {
        screen::data(&html);
        return Ok(Code::Ok);
    }
    keep("the report", &html, &file, args.force)?;
    if context.global.json {
        let said = serde_json::json!({ "run": run, "file": file.to_string_lossy() });
        screen::data(&format!("{said}\n"));
    } else {
        screen::note(&format!("written to {}\n", file.display()));
    }
    Ok(Code::Ok)
}

/// A run as it was recorded so far, and where.
struct Recorded {
    run: RunId,
    events: Vec<Envelope>,
    journal: String,
}

impl Recorded {
    async fn read(context: &Context, run: &str) -> Result<Self, CommandError> {
        let records = Records::open(context.global.site.as_deref())?;
        let run = records.find(run).await?.run;
        Ok(Self {
            events: records.read(&run).await?,
            run,
            journal: records.place(),
        })
    }
}
