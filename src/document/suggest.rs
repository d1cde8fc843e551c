//! What was probably meant.

/// The candidate that is so near to `name` that it was probably meant: at most one slip in three characters, where a
/// slip is a letter too much, too few, wrong, or two exchanged. Case and the difference of `-` and `_` do not count.
pub fn suggest<'c, C>(name: &str, candidates: C) -> Option<&'c str>
where
    C: IntoIterator<Item = &'c str>,
{
    let wanted = folded(name);
    // A long key is no name that someone mistyped, and the comparison is quadratic.
    if wanted.len() > 64 {
        return None;
    }
    let limit = (wanted.len() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != name && candidate.len() <= 64)
        .map(|candidate| (distance(&wanted, &folded(candidate)), candidate))
        .filter(|(slips, candidate)| *slips <= limit && *slips < candidate.chars().count())
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

fn folded(text: &str) -> Vec<char> {
    text.chars()
        .flat_map(char::to_lowercase)
        .map(|c| if c == '-' { '_' } else { c })
        .collect()
}

/// Edit distance with exchanged neighbours as one slip.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let wrong = usize::from(a[i - 1] != b[j - 1]);
            let mut slips = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + wrong);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                slips = slips.min(before[j - 2] + 1);
            }
            row[j] = slips;
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let keys = ["timeout", "needs", "node", "when", "max_parallel"];
        let table = [
            ("timeuot", Some("timeout")),
            ("tiemout", Some("timeout")),
            ("need", Some("needs")),
            ("Node", Some("node")),
            ("max-parallel", Some("max_parallel")),
            ("maxparallel", Some("max_parallel")),
            ("colour", None),
            ("x", None),
            ("", None),
        ];
        for (written, meant) in table {
            assert_eq!(suggest(written, keys), meant, "{written}");
        }
    }
}
