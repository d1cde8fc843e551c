//! The table of a cluster's nodes, in the columns of `repmgr cluster show`.

use super::paint::{Paint, Tone};
use super::text;
use crate::cluster::{Row, RowStatus, Topology};

/// Names of the columns, and shorter ones for where these do not fit.
const HEADS: [(&str, &str); 9] = [
    ("ID", "ID"),
    ("Name", "Name"),
    ("Role", "Role"),
    ("Status", "Status"),
    ("Upstream", "Upstream"),
    ("Location", "Location"),
    ("Priority", "Prio."),
    ("Timeline", "TLI"),
    ("LSN_Lag", "LSN_Lag"),
];

/// The table, and below it a line for every problem; ends with a newline. No line takes more than `columns`.
pub(crate) fn render(topology: &Topology, paint: Paint, columns: usize) -> String {
    let cells: Vec<[String; 9]> = topology.rows.iter().map(|r| cells(topology, r)).collect();
    let long = widths(&cells, |h| h.0);
    let compact = total(&long) > columns;
    let mut widths = if compact {
        widths(&cells, |h| h.1)
    } else {
        long
    };
    shrink(&mut widths, columns);
    let heads: Vec<String> = HEADS
        .iter()
        .zip(&widths)
        .map(|(head, width)| text::pad(if compact { head.1 } else { head.0 }, *width))
        .collect();
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut out = format!("{}\n{}\n", heads.join("  ").trim_end(), rule.join("  "));
    for (row, cells) in topology.rows.iter().zip(&cells) {
        let mut line = Vec::new();
        for (index, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            let fitted = if matches!(index, 0 | 6..=8) {
                text::pad_left(cell, *width)
            } else {
                text::pad(cell, *width)
            };
            line.push(match index {
                2 if is(row, "primary") => paint.strong(&fitted).into_owned(),
                3 => paint.tone(tone(topology, row), &fitted).into_owned(),
                _ => fitted,
            });
        }
        out.push_str(line.join("  ").trim_end());
        out.push('\n');
    }
    for problem in problems(topology) {
        for (index, line) in text::wrap(&problem, columns.saturating_sub(2))
            .into_iter()
            .enumerate()
        {
            let sign = if index == 0 { "! " } else { "  " };
            out.push_str(&paint.warn(&text::cut(&format!("{sign}{line}"), columns)));
            out.push('\n');
        }
    }
    out
}

fn is(row: &Row, role: &str) -> bool {
    row.role.as_deref() == Some(role)
}

fn cells(topology: &Topology, row: &Row) -> [String; 9] {
    let or_empty = |value: Option<String>| value.unwrap_or_default();
    let upstream = row.upstream.as_deref().map(|upstream| {
        let sign = if row.attached || row.status != RowStatus::Running {
            ""
        } else {
            "! "
        };
        format!("{sign}{}", text::one_line(upstream))
    });
    [
        row.id.to_string(),
        row.name.to_string(),
        row.role.clone().unwrap_or_else(|| "?".to_owned()),
        status(topology, row).to_owned(),
        or_empty(upstream),
        text::one_line(&row.location),
        row.priority.to_string(),
        row.timeline
            .map_or_else(|| "?".to_owned(), |t| t.to_string()),
        or_empty(row.lag.filter(|_| !is(row, "primary")).map(text::bytes)),
    ]
}

/// The word, with the sign that `repmgr` puts before it. A node that does not answer has failed where the cluster works
/// without it; otherwise nobody can tell.
fn status(topology: &Topology, row: &Row) -> &'static str {
    match row.status {
        RowStatus::Running if is(row, "primary") => {
            if topology.primary().is_some() {
                "* running"
            } else {
                "! running"
            }
        }
        RowStatus::Running if row.attached => "  running",
        RowStatus::Running => "! running",
        RowStatus::Rejecting => "! rejecting",
        RowStatus::Unreachable if topology.primary().is_some() && !row.attached => "- failed",
        RowStatus::Unreachable => "? unreachable",
    }
}

fn tone(topology: &Topology, row: &Row) -> Tone {
    match status(topology, row).as_bytes().first() {
        Some(b'*' | b' ') => Tone::Good,
        Some(b'!') => Tone::Warn,
        _ => Tone::Bad,
    }
}

fn problems(topology: &Topology) -> Vec<String> {
    let mut problems = Vec::new();
    let primaries: Vec<&str> = topology
        .rows
        .iter()
        .filter(|r| is(r, "primary") && r.status == RowStatus::Running)
        .map(|r| r.name.as_str())
        .collect();
    match primaries.as_slice() {
        [_] => {}
        [] => problems.push("no primary answers".to_owned()),
        several => problems.push(format!(
            "{} primaries: {}; stop the wrong one before anything else",
            several.len(),
            several.join(", ")
        )),
    }
    for row in &topology.rows {
        match &row.note {
            Some(note) => problems.push(format!("{}: {}", row.name, text::one_line(note))),
            None if row.status == RowStatus::Running && is(row, "standby") && !row.attached => {
                let upstream = row.upstream.as_deref().unwrap_or("any upstream");
                problems.push(format!("{}: does not stream from {upstream}", row.name));
            }
            None => {}
        }
    }
    problems
}

fn widths(
    cells: &[[String; 9]],
    head: impl Fn(&(&'static str, &'static str)) -> &'static str,
) -> Vec<usize> {
    HEADS
        .iter()
        .enumerate()
        .map(|(index, names)| {
            cells
                .iter()
                .map(|row| text::width(&row[index]))
                .chain([text::width(head(names))])
                .max()
                .unwrap_or(0)
        })
        .collect()
}

fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + 2 * (widths.len() - 1)
}

/// Takes columns from the widest of name, upstream and location until the table fits or they are as short as they may be.
fn shrink(widths: &mut [usize], columns: usize) {
    while total(widths) > columns {
        let widest = [1, 4, 5].into_iter().max_by_key(|i| widths[*i]);
        match widest {
            Some(index) if widths[index] > 4 => widths[index] -= 1,
            _ => break,
        }
    }
}

#[cfg(test)]
pub(crate) mod samples {
    use super::*;
    use crate::cluster::{Lsn, NodeName, Timeline};

    pub(crate) fn row(id: u32, role: Option<&str>, upstream: Option<&str>) -> Row {
        Row {
            id,
            name: NodeName::parse(&format!("n{id}")).unwrap(),
            role: role.map(ToOwned::to_owned),
            status: if role.is_some() {
                RowStatus::Running
            } else {
                RowStatus::Unreachable
            },
            upstream: upstream.map(ToOwned::to_owned),
            attached: upstream.is_some(),
            location: "default".to_owned(),
            priority: 100,
            timeline: role.map(|_| Timeline(1)),
            at: role.map(|_| Lsn(0x500_0148)),
            lag: role.map(|_| 0),
            note: None,
            was: None,
        }
    }

    pub(crate) fn topology(rows: Vec<Row>) -> Topology {
        Topology {
            cluster: "orders".to_owned(),
            rows,
        }
    }

    /// One primary, two standbys, all well.
    pub(crate) fn healthy() -> Topology {
        topology(vec![
            row(1, Some("primary"), None),
            row(2, Some("standby"), Some("n1")),
            row(3, Some("standby"), Some("n1")),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{healthy, row, topology};
    use super::*;
    use crate::cluster::NodeName;
    use crate::runs::Health;

    fn print(topology: &Topology, columns: usize) -> String {
        let table = render(topology, Paint::plain(), columns);
        for line in table.lines() {
            assert!(text::width(line) <= columns, "{line}");
        }
        table
    }

    #[test]
    fn a_cluster_that_is_well_fits_80_columns() {
        assert_eq!(Health::of(&healthy()), Health::Ok);
        insta::assert_snapshot!(print(&healthy(), 80));
    }

    #[test]
    fn after_a_failover_the_old_primary_has_failed() {
        let mut lagging = row(3, Some("standby"), Some("n2"));
        lagging.lag = Some(1_572_864);
        let mut apart = row(4, Some("standby"), Some("n1"));
        apart.attached = false;
        let mut old = row(1, None, None);
        old.note = Some("connection refused (127.0.0.1:5433)".to_owned());
        let seen = topology(vec![old, row(2, Some("primary"), None), lagging, apart]);
        assert_eq!(Health::of(&seen), Health::Degraded);
        insta::assert_snapshot!(print(&seen, 80));
    }

    #[test]
    fn without_a_primary_nobody_can_tell() {
        let mut rejecting = row(3, None, None);
        rejecting.status = RowStatus::Rejecting;
        let mut standby = row(2, Some("standby"), Some("n1"));
        standby.attached = false;
        let seen = topology(vec![row(1, None, None), standby, rejecting]);
        assert_eq!(Health::of(&seen), Health::NoPrimary);
        insta::assert_snapshot!(print(&seen, 80));
    }

    #[test]
    fn two_primaries_are_an_alarm() {
        let seen = topology(vec![
            row(1, Some("primary"), None),
            row(2, Some("primary"), None),
        ]);
        assert_eq!(Health::of(&seen), Health::NoPrimary);
        assert!(print(&seen, 80).contains("! 2 primaries: n1, n2"));
    }

    #[test]
    fn long_names_are_cut_on_a_terminal_and_whole_in_a_pipe() {
        let mut seen = healthy();
        let name = "db-01.frankfurt.example.com";
        seen.rows[0].name = NodeName::parse(name).unwrap();
        seen.rows[1].upstream = Some(name.to_owned());
        assert!(!print(&seen, 80).contains(name));
        assert!(print(&seen, usize::MAX).contains(name));
    }
}
