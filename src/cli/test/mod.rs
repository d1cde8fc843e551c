//! `pgbaton test`: a site's own tests of its playbooks, on simulated clusters.

mod junit;

use super::app::Context;
use super::args::TestArgs;
use super::error::CommandError;
use super::exit_codes::Code;
use super::paint::Paint;
use super::rehearse::subject_of;
use super::text::{count, duration};
use super::{diagnostics, library, screen};
use crate::document::{Diagnostics, Source, read_file, suggest};
use crate::playbook::Library;
use crate::rehearse::{Case, Drilled, Miss, Subject, Suite, drill, load_suite, verdict};
use crate::runs::{RunsError, Shelves, site_file};
use serde_json::{Value as Json, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What the files end in.
const ENDING: &str = ".test.yaml";

/// A test that was played.
struct Played {
    name: String,
    misses: Vec<Miss>,
    took: Duration,
    story: Vec<String>,
}

/// A file whose tests were played.
struct Tested {
    source: Source,
    cases: Vec<Played>,
}

pub(crate) fn test(context: &Context, args: &TestArgs) -> Result<Code, CommandError> {
    let files = if args.files.is_empty() {
        found(context)?
    } else {
        args.files.clone()
    };
    let suites = files
        .iter()
        .map(|file| suite(file))
        .collect::<Result<Vec<_>, _>>()?;
    let wanted = |case: &&Case| {
        let only = args.only.as_ref();
        only.is_none_or(|words| case.name.value.contains(words.as_str()))
    };
    let mut all = Vec::new();
    for suite in &suites {
        let subject = subject(context, suite)?;
        let mut cases = Vec::new();
        for case in suite.cases.iter().filter(wanted) {
            cases.push(play(&subject, case, args.story)?);
        }
        all.push(Tested {
            source: suite.source.clone(),
            cases,
        });
    }
    if all.iter().all(|tested| tested.cases.is_empty()) {
        return Err(CommandError::invalid("no test is called so")
            .hint("`--only` takes a part of a test's name; without it all of them are run"));
    }
    if let Some(file) = &args.junit {
        std::fs::write(file, junit::report(&all)).map_err(|error| {
            CommandError::failed(
                format!("the report {} cannot be written", file.display()),
                &error,
            )
        })?;
    }
    screen::data(&if context.global.json {
        format!("{}\n", as_json(&all))
    } else {
        shown(&all, context.paint)
    });
    let failed = all
        .iter()
        .any(|t| t.cases.iter().any(|c| !c.misses.is_empty()));
    Ok(if failed { Code::Failed } else { Code::Ok })
}

/// Those in `playbooks/`, here and beside the site file.
fn found(context: &Context) -> Result<Vec<PathBuf>, CommandError> {
    let mut folders = vec![PathBuf::from("playbooks")];
    if let Ok(site) = site_file(context.global.site.as_deref())
        && let Some(beside) = site.parent()
    {
        folders.push(beside.join("playbooks"));
    }
    let mut files = Vec::new();
    for folder in &folders {
        let Ok(entries) = std::fs::read_dir(folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name();
            // The same folder may be both.
            let known = |other: &PathBuf| other.canonicalize().ok() == path.canonicalize().ok();
            if name.to_string_lossy().ends_with(ENDING) && !files.iter().any(known) {
                files.push(path);
            }
        }
    }
    files.sort();
    if files.is_empty() {
        let places: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
        return Err(CommandError::invalid(format!(
            "there are no tests in {}",
            places.join(" or ")
        ))
        .hint(format!(
            "a file of tests ends in `{ENDING}`: docs/tests.md has one"
        )));
    }
    Ok(files)
}

fn suite(file: &Path) -> Result<Suite, CommandError> {
    let text = read_file(file).map_err(|error| {
        CommandError::invalid(format!("{} cannot be read: {error}", file.display()))
    })?;
    let source = Source::new(file.display().to_string(), text);
    let mut diagnostics = Diagnostics::default();
    load_suite(&source, &mut diagnostics).ok_or_else(|| {
        RunsError::Invalid {
            what: format!("tests {}", source.name),
            diagnostics,
        }
        .into()
    })
}

/// The playbook of a suite: by name as a run finds it, or a file beside the tests.
fn subject(context: &Context, suite: &Suite) -> Result<Subject, CommandError> {
    let shelves = library::shelves(&context.global);
    let wanted = &suite.playbook.value;
    let beside = Path::new(&*suite.source.name)
        .parent()
        .map(|folder| folder.join(format!("{wanted}.yaml")))
        .filter(|file| file.is_file());
    if beside.is_none() && matches!(shelves.find(wanted), Ok(None)) {
        return Err(nobody(suite, &shelves).into());
    }
    let wanted = beside.map_or_else(|| wanted.clone(), |file| file.display().to_string());
    subject_of(context, &shelves, &wanted)
}

/// A playbook that there is not, shown where the tests name it.
fn nobody(suite: &Suite, shelves: &Shelves) -> RunsError {
    let wanted = &suite.playbook;
    let names = shelves.names();
    let mut diagnostics = Diagnostics::default();
    let message = format!("there is no playbook `{}`", wanted.value);
    diagnostics
        .error("unknown-playbook", &suite.source, wanted.span, message)
        .help = Some(
        match suggest(&wanted.value, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the playbooks are {}", names.join(", ")),
        },
    );
    RunsError::Invalid {
        what: format!("tests {}", suite.source.name),
        diagnostics,
    }
}

fn play(subject: &Subject, case: &Case, story: bool) -> Result<Played, CommandError> {
    let began = Instant::now();
    let drilled = drill(subject, case, story)?;
    let misses = verdict(case, &drilled);
    let took = began.elapsed();
    let Drilled { played, .. } = drilled;
    Ok(Played {
        name: case.name.value.clone(),
        misses,
        took,
        story: played.story,
    })
}

fn shown(all: &[Tested], paint: Paint) -> String {
    let mut out = String::new();
    let (mut tests, mut failed) = (0, 0);
    for tested in all.iter().filter(|tested| !tested.cases.is_empty()) {
        let _ = writeln!(out, "{}", paint.strong(&tested.source.name));
        for case in &tested.cases {
            tests += 1;
            failed += usize::from(!case.misses.is_empty());
            let sign = if case.misses.is_empty() {
                paint.good("ok  ")
            } else {
                paint.bad("FAIL")
            };
            let took = duration(case.took.as_secs_f64() * 1000.0);
            let _ = writeln!(out, "  {sign}  {} ({took})", case.name);
            for line in &case.story {
                let _ = writeln!(out, "        {line}");
            }
            if !case.misses.is_empty() {
                let told = diagnostics::render(&as_diagnostics(&tested.source, case), paint);
                let _ = writeln!(out, "{told}");
            }
        }
    }
    let verdict = match failed {
        0 => paint.good("all passed").into_owned(),
        _ => paint.bad(&format!("{failed} failed")).into_owned(),
    };
    let _ = writeln!(out, "{}: {verdict}", count(tests, "test", "tests"));
    out
}

/// Each miss where the file says otherwise.
fn as_diagnostics(source: &Source, case: &Played) -> Diagnostics {
    let mut told = Diagnostics::default();
    for miss in &case.misses {
        told.error("not-as-expected", source, miss.span, miss.text.clone())
            .help
            .clone_from(&miss.help);
    }
    told
}

fn as_json(all: &[Tested]) -> Json {
    let tests = all.iter().flat_map(|tested| {
        tested.cases.iter().map(|case| {
            json!({
                "file": tested.source.name.to_string(),
                "test": case.name,
                "ok": case.misses.is_empty(),
                "seconds": case.took.as_secs_f64(),
                "misses": as_diagnostics(&tested.source, case).to_json(),
                "story": case.story,
            })
        })
    });
    json!({ "tests": tests.collect::<Vec<_>>() })
}
