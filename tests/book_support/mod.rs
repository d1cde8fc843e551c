//! Pages of Markdown, as far as the tests of the book read them: blocks of code, headings, links.

use std::path::{Path, PathBuf};

/// A block of code between fences.
pub(crate) struct Block {
    /// Where its text begins, counted from 1.
    pub(crate) line: usize,
    /// What stands behind the opening fence; `yaml,site` is a whole site file, and is shown as YAML all the same.
    pub(crate) info: String,
    /// What is in it.
    pub(crate) text: String,
}

impl Block {
    /// Its language, and the words behind that.
    pub(crate) fn words(&self) -> Vec<&str> {
        self.info
            .split([',', ' '])
            .filter(|w| !w.is_empty())
            .collect()
    }
}

/// A page, taken apart.
#[derive(Default)]
pub(crate) struct Page {
    /// Its blocks of code.
    pub(crate) blocks: Vec<Block>,
    /// The ids that its headings get, in order.
    pub(crate) ids: Vec<String>,
    /// What is linked to, each with its line.
    pub(crate) links: Vec<(usize, String)>,
}

/// Reads a page from its text.
pub(crate) fn page(text: &str) -> Page {
    let mut page = Page::default();
    let mut open: Option<(String, Block)> = None;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        if let Some((fence, mut block)) = open.take() {
            if trimmed.trim_end() == fence {
                page.blocks.push(block);
            } else {
                // A block in a list is indented like its fence.
                let indent = fence.len() - fence.trim_start().len();
                block.text.push_str(line.get(indent..).unwrap_or(trimmed));
                block.text.push('\n');
                open = Some((fence, block));
            }
        } else if trimmed.starts_with("```") {
            let ticks = trimmed.len() - trimmed.trim_start_matches('`').len();
            let block = Block {
                line: index + 2,
                info: trimmed[ticks..].trim().to_owned(),
                text: String::new(),
            };
            open = Some(("`".repeat(ticks), block));
        } else {
            if let Some(heading) = heading(line) {
                let id = id(heading, &page.ids);
                page.ids.push(id);
            }
            let found = links(line).into_iter().map(|link| (index + 1, link));
            page.links.extend(found);
        }
    }
    assert!(open.is_none(), "a block of code is not closed");
    page
}

fn heading(line: &str) -> Option<&str> {
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    ((1..=6).contains(&level) && text.starts_with(' ')).then(|| text.trim())
}

/// The id of a heading, as mdBook and the forges make it; the second of one name has a number.
fn id(heading: &str, before: &[String]) -> String {
    let shown: String = heading.chars().filter(|c| *c != '`').collect();
    let id: String = shown
        .chars()
        .filter_map(|c| match c {
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
            c if c.is_whitespace() => Some('-'),
            _ => None,
        })
        .collect();
    let mut number = 0;
    let mut candidate = id.clone();
    while before.contains(&candidate) {
        number += 1;
        candidate = format!("{id}-{number}");
    }
    candidate
}

/// The targets of the links in a line, what is in backticks left out.
fn links(line: &str) -> Vec<String> {
    let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("x");
    let mut found = Vec::new();
    let mut rest = prose.as_str();
    while let Some((_, behind)) = rest.split_once("](") {
        let Some((target, behind)) = behind.split_once(')') else {
            break;
        };
        found.push(target.to_owned());
        rest = behind;
    }
    found
}

/// All pages in a folder and below, sorted.
pub(crate) fn pages_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(pages_in(&path));
        } else if path.extension().is_some_and(|ending| ending == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The words of each call of `pgbaton` in a line of shell, as far as this reads one: quotes, comments, redirections, what stands
/// before the name (`sudo`, variables), and what comes behind (`|`, `&&`, `;`).
pub(crate) fn calls(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut redirected = false;
    for word in words(line) {
        match word {
            Word::End => commands.push(Vec::new()),
            Word::Redirection => redirected = true,
            Word::Text(_) if redirected => redirected = false,
            Word::Text(text) => commands.last_mut().unwrap().push(text),
        }
    }
    let named = |words: Vec<String>| {
        // `sudo -u pgbaton pgbaton`: the first is a user.
        let user = |at: usize| at > 0 && words[at - 1] == "-u";
        let at = (0..words.len()).find(|at| words[*at] == "pgbaton" && !user(*at))?;
        let before = ["sudo", "-u", "postgres", "pgbaton", "exec", "nohup"];
        let leads = |word: &String| before.contains(&word.as_str()) || word.contains('=');
        words[..at].iter().all(leads).then(|| words[at..].to_vec())
    };
    commands.into_iter().filter_map(named).collect()
}

enum Word {
    Text(String),
    Redirection,
    End,
}

fn words(line: &str) -> Vec<Word> {
    let mut found = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' => {
                let text = word.get_or_insert_default();
                text.extend(chars.by_ref().take_while(|inside| *inside != c));
            }
            '#' if word.is_none() => break,
            '>' | '<' => {
                // A number before it says which output.
                let alone = word.take().is_none_or(|text| text.parse::<u8>().is_ok());
                assert!(alone, "a redirection stands alone here: {line}");
                while chars.next_if_eq(&'>').is_some() {}
                found.push(Word::Redirection);
            }
            '|' | '&' | ';' => {
                found.extend(word.take().map(Word::Text));
                found.push(Word::End);
            }
            c if c.is_whitespace() => found.extend(word.take().map(Word::Text)),
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    found.extend(word.map(Word::Text));
    found
}
