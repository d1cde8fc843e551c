//! The report that CI systems read.

use super::Tested;
use std::fmt::Write as _;

/// JUnit's XML: a suite for each file, a failure with each thing that was not as expected.
pub(super) fn report(all: &[Tested]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for tested in all {
        let failed = tested.cases.iter().filter(|c| !c.misses.is_empty()).count();
        let seconds: f64 = tested.cases.iter().map(|c| c.took.as_secs_f64()).sum();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\" errors=\"0\" time=\"{seconds:.3}\">",
            escaped(&tested.source.name),
            tested.cases.len()
        );
        for case in &tested.cases {
            let _ = write!(
                out,
                "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
                escaped(&tested.source.name),
                escaped(&case.name),
                case.took.as_secs_f64()
            );
            if case.misses.is_empty() {
                out.push_str("/>\n");
                continue;
            }
            out.push_str(">\n");
            for miss in &case.misses {
                let (line, _) = tested.source.line_column(miss.span.start);
                let _ = writeln!(
                    out,
                    "      <failure message=\"{}\">{}:{line}: {}</failure>",
                    escaped(&miss.text),
                    escaped(&tested.source.name),
                    escaped(miss.help.as_deref().unwrap_or(&miss.text))
                );
            }
            out.push_str("    </testcase>\n");
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

/// As XML has text and attributes; what it cannot hold at all is left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}
