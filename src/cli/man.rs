//! `pgbaton man`: the manual, a page for each command, from what the command line itself is made of.

use super::args::{ManArgs, arguments};
use super::error::CommandError;
use super::exit_codes::Code;
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use std::io;
use std::path::Path;

/// What the first page says about files.
const FILES: [(&str, &str); 4] = [
    (
        "./site.yaml, /etc/pgbaton/site.yaml",
        "The site file, where neither --site nor PGBATON_SITE names another: clusters, nodes, how they are reached.",
    ),
    (
        "playbooks/, overlays/",
        "Beside the site file: the site's own playbooks, and its changes to those that are shipped.",
    ),
    (
        "/var/lib/pgbaton/journal.db",
        "The journal, where the site file says journal: /var/lib/pgbaton, and for root without it.",
    ),
    (
        "/usr/share/doc/pgbaton/",
        "The book: the language, the actions, safety, running it in production. From a package only.",
    ),
];

/// Writes a page for every command into a folder, which is made where it is not there.
pub(crate) fn man(args: &ManArgs) -> Result<Code, CommandError> {
    let folder = &args.folder;
    std::fs::create_dir_all(folder)
        .and_then(|()| pages(folder))
        .map_err(|error| {
            let what = format!("the manual cannot be written to {}", folder.display());
            CommandError::failed(what, &error).hint("give a folder that can be written to")
        })?;
    Ok(Code::Ok)
}

fn pages(folder: &Path) -> io::Result<()> {
    // `pgbaton help COMMAND` is told on no page: the page is that help.
    let mut top = arguments().disable_help_subcommand(true);
    top.build();
    page(&top, &[], folder)
}

/// The page of `command` and those of the commands below it. `above` are the titles of the commands over it.
fn page(command: &Command, above: &[String], folder: &Path) -> io::Result<()> {
    let title = title(command);
    let inner: Vec<&Command> = command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set())
        .collect();
    std::fs::write(
        folder.join(format!("{title}.1")),
        text(command, above, &inner)?,
    )?;
    let mut path = above.to_vec();
    path.push(title);
    inner
        .iter()
        .try_for_each(|inner| page(inner, &path, folder))
}

/// `pgbaton-runs-list` for `pgbaton runs list`.
fn title(command: &Command) -> String {
    let name = command.get_display_name();
    name.unwrap_or_else(|| command.get_name()).to_owned()
}

fn text(command: &Command, above: &[String], inner: &[&Command]) -> io::Result<Vec<u8>> {
    let named = command
        .clone()
        .subcommand_value_name("command")
        .subcommand_help_heading("COMMANDS");
    let page = Man::new(named);
    let mut out = heading(&title(command)).into_bytes();
    page.render_name_section(&mut out)?;
    page.render_synopsis_section(&mut out)?;
    page.render_description_section(&mut out)?;
    page.render_options_section(&mut out)?;
    if !inner.is_empty() {
        page.render_subcommands_section(&mut out)?;
    }
    let mut own = Roff::new();
    if above.is_empty() {
        files(&mut own);
    }
    if let Some(codes) = command.get_after_help() {
        own.control("SH", ["EXIT STATUS"]);
        own.text([roman(codes.to_string())]);
    }
    let mut others = above.to_vec();
    others.extend(inner.iter().map(|inner| title(inner)));
    see_also(&mut own, &others);
    own.to_writer(&mut out)?;
    Ok(out)
}

/// Written by hand, for the library leaves out the date that is not there, and what follows takes its place. Words are not
/// divided, for most of the long ones are names.
fn heading(title: &str) -> String {
    format!(
        ".TH {} 1 \"\" \"pgbaton {}\" pgbaton\n.nh\n.ad l\n",
        title.to_uppercase(),
        env!("CARGO_PKG_VERSION")
    )
}

fn files(page: &mut Roff) {
    page.control("SH", ["FILES"]);
    for (file, what) in FILES {
        page.control("TP", []);
        page.text([bold(file)]);
        page.text([roman(what)]);
    }
}

fn see_also(page: &mut Roff, titles: &[String]) {
    if titles.is_empty() {
        return;
    }
    page.control("SH", ["SEE ALSO"]);
    let last = titles.len() - 1;
    let mut line = Vec::new();
    for (index, title) in titles.iter().enumerate() {
        line.push(bold(title.as_str()));
        line.push(roman(if index == last { "(1)" } else { "(1), " }));
    }
    page.text(line);
}
