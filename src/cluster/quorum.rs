//! `synchronous_standby_names`: what it says, and when enough frozen standbys starve it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Which standbys a commit waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncNames {
    /// `FIRST` or `ANY`.
    pub method: SyncMethod,
    /// How many acknowledgements a commit waits for.
    pub acks: u32,
    /// The names; compared as `application_name`s, without case. `*` matches everybody.
    pub names: Vec<String>,
}

/// How the standbys are picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SyncMethod {
    /// The first that are connected.
    First,
    /// Whichever answer first.
    Any,
}

/// A value that PostgreSQL would not accept either.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a value of synchronous_standby_names: {why}")]
pub struct SyncNamesError {
    /// The value.
    pub text: String,
    /// What is wrong.
    pub why: &'static str,
}

impl SyncNames {
    /// Reads the setting; `None` for the empty value. Grammar: PostgreSQL's `syncrep_gram.y` (a bare list means
    /// `FIRST 1`, `n (…)` means `FIRST n`).
    pub fn parse(text: &str) -> Result<Option<Self>, SyncNamesError> {
        let fail = |why| SyncNamesError {
            text: text.to_owned(),
            why,
        };
        let tokens = tokens(text).map_err(fail)?;
        if tokens.is_empty() {
            return Ok(None);
        }
        let mut rest = tokens.as_slice();
        let mut method = SyncMethod::First;
        let mut acks = 1;
        let mut counted = false;
        if let [
            Token::Name(word, false),
            Token::Name(number, false),
            Token::Open,
            ..,
        ] = rest
        {
            method = match word.to_ascii_lowercase().as_str() {
                "any" => SyncMethod::Any,
                "first" => SyncMethod::First,
                _ => return Err(fail("expected FIRST or ANY before the number")),
            };
            acks = number
                .parse()
                .map_err(|_| fail("the number cannot be read"))?;
            counted = true;
            rest = &rest[2..];
        } else if let [Token::Name(number, false), Token::Open, ..] = rest {
            acks = number
                .parse()
                .map_err(|_| fail("the number cannot be read"))?;
            counted = true;
            rest = &rest[1..];
        }
        if counted {
            let [Token::Open, inner @ .., Token::Close] = rest else {
                return Err(fail("the list is not closed"));
            };
            rest = inner;
        }
        let mut names = Vec::new();
        for (index, token) in rest.iter().enumerate() {
            match token {
                Token::Name(name, false)
                    if name.eq_ignore_ascii_case("any") || name.eq_ignore_ascii_case("first") =>
                {
                    return Err(fail("ANY and FIRST are names only in quotes"));
                }
                Token::Name(name, _) if index % 2 == 0 => names.push(name.clone()),
                Token::Comma if index % 2 == 1 => {}
                _ => return Err(fail("expected names with commas between")),
            }
        }
        if names.is_empty() || rest.len() % 2 == 0 {
            return Err(fail("the list of names is not complete"));
        }
        if acks == 0 {
            return Err(fail("the number must be greater than zero"));
        }
        Ok(Some(Self {
            method,
            acks,
            names,
        }))
    }

    /// Whether a receiver of this `application_name` can acknowledge.
    pub fn matches(&self, application: &str) -> bool {
        self.names
            .iter()
            .any(|n| n == "*" || n.eq_ignore_ascii_case(application))
    }

    /// Whether the list names everybody.
    pub fn is_wildcard(&self) -> bool {
        self.names.iter().any(|n| n == "*")
    }
}

impl fmt::Display for SyncNames {
    /// As `ALTER SYSTEM` takes it; every name quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match self.method {
            SyncMethod::First => "FIRST",
            SyncMethod::Any => "ANY",
        };
        let names: Vec<String> = self
            .names
            .iter()
            .map(|n| {
                if n == "*" {
                    n.clone()
                } else {
                    format!("\"{}\"", n.replace('"', "\"\""))
                }
            })
            .collect();
        write!(f, "{method} {} ({})", self.acks, names.join(", "))
    }
}

/// Whether freezing these receivers keeps every commit from being acknowledged, and guarantees that one of them holds
/// every commit that was: R ≥ N − W + 1 (the pigeonhole principle over the list of N with W acknowledgements).
/// `FIRST k` counts as W = k over the whole list. Never with `*`, and never when a name occurs twice.
pub fn starves(names: &SyncNames, frozen: &[&str]) -> bool {
    if names.is_wildcard() {
        return false;
    }
    let distinct = |list: &mut dyn Iterator<Item = String>| {
        let mut all: Vec<String> = list.collect();
        all.sort();
        let before = all.len();
        all.dedup();
        (all.len() == before).then_some(all)
    };
    let Some(list) = distinct(&mut names.names.iter().map(|n| n.to_ascii_lowercase())) else {
        return false;
    };
    let Some(frozen) = distinct(&mut frozen.iter().map(|n| n.to_ascii_lowercase())) else {
        return false;
    };
    let acks = names.acks as usize;
    let held = frozen.iter().filter(|f| list.contains(f)).count();
    acks <= list.len() && held > list.len() - acks
}

#[derive(Debug, PartialEq)]
enum Token {
    /// A word, and whether it was quoted.
    Name(String, bool),
    Comma,
    Open,
    Close,
}

fn tokens(text: &str) -> Result<Vec<Token>, &'static str> {
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            ',' => found.push(Token::Comma),
            '(' => found.push(Token::Open),
            ')' => found.push(Token::Close),
            '"' => {
                let mut name = String::new();
                loop {
                    match chars.next() {
                        Some('"') if chars.peek() == Some(&'"') => {
                            chars.next();
                            name.push('"');
                        }
                        Some('"') => break,
                        Some(other) => name.push(other),
                        None => return Err("a quoted name is not closed"),
                    }
                }
                found.push(Token::Name(name, true));
            }
            '*' => found.push(Token::Name("*".to_owned(), true)),
            first => {
                let mut name = String::from(first);
                while let Some(&next) = chars.peek() {
                    if next.is_whitespace() || matches!(next, ',' | '(' | ')' | '"' | '*') {
                        break;
                    }
                    name.push(next);
                    chars.next();
                }
                if !is_word(&name) {
                    return Err("such a name needs quotes");
                }
                found.push(Token::Name(name, false));
            }
        }
    }
    Ok(found)
}

/// A number, or what the server takes for a name without quotes.
fn is_word(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
    text.bytes().all(|b| b.is_ascii_digit())
        || text.starts_with(letter)
            && text
                .chars()
                .all(|c| letter(c) || c.is_ascii_digit() || c == '$')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> SyncNames {
        SyncNames::parse(text).unwrap().unwrap()
    }

    #[test]
    fn every_form_of_the_setting_is_read() {
        assert_eq!(SyncNames::parse("  ").unwrap(), None);
        assert_eq!(
            parse("a, b"),
            SyncNames {
                method: SyncMethod::First,
                acks: 1,
                names: vec!["a".into(), "b".into()]
            }
        );
        assert_eq!(parse("2 (a,b)").acks, 2);
        assert_eq!(parse("any 1 (\"n\"\"1\", b)").names[0], "n\"1");
        assert_eq!(parse("\"first\", 7").names, ["first", "7"]);
        for text in [
            "ANY 1 (a",
            "ANY 1 ()",
            "ANY 0 (a)",
            "a,",
            "a b",
            "\"x",
            "first",
            "n-3",
            "7a",
        ] {
            assert!(SyncNames::parse(text).is_err(), "{text}");
        }
        let printed = parse("ANY 1 (n2, \"N-3\")").to_string();
        assert_eq!(parse(&printed).to_string(), printed);
    }

    fn subsets<'n>(names: &[&'n str]) -> Vec<Vec<&'n str>> {
        let pick = |bits: usize| {
            let chosen = |(i, _): &(usize, &&str)| bits & (1 << i) != 0;
            let picked = names.iter().enumerate().filter(chosen);
            picked.map(|(_, n)| *n).collect()
        };
        (0..1 << names.len()).map(pick).collect()
    }

    /// What the proof says, taken at its word for every list of up to four and everybody who may be frozen.
    #[test]
    fn starved_is_who_cannot_be_acknowledged_and_whose_commits_somebody_frozen_holds() {
        let all = ["a", "b", "c", "d", "stranger"];
        let mut proofs = 0;
        for length in 1..=4 {
            let list = &all[..length];
            for acks in 1..=length {
                let enough: Vec<_> = subsets(list)
                    .into_iter()
                    .filter(|set| set.len() == acks)
                    .collect();
                for frozen in subsets(&all) {
                    let starved = enough
                        .iter()
                        .all(|set| set.iter().any(|n| frozen.contains(n)));
                    for method in [SyncMethod::Any, SyncMethod::First] {
                        let names = SyncNames {
                            method,
                            acks: u32::try_from(acks).unwrap(),
                            names: list.iter().map(ToString::to_string).collect(),
                        };
                        assert_eq!(starves(&names, &frozen), starved, "{names} {frozen:?}");
                        proofs += usize::from(starved);
                    }
                }
            }
        }
        assert!(proofs > 0);
    }

    #[test]
    fn each_form_of_the_setting_is_starved_by_as_many_as_it_takes() {
        for (text, frozen, starved) in [
            ("a", &["a"][..], true),
            ("a, b", &["a"], false),
            ("a, b", &["a", "b"], true),
            ("2 (a, b, c)", &["a", "b"], true),
            ("2 (a, b, c)", &["a"], false),
            ("FIRST 2 (a, b, c)", &["c"], false),
            ("ANY 2 (a, b, c)", &["c", "b"], true),
            ("ANY 1 (a, b, c)", &["c", "b"], false),
            ("*", &["a", "b", "c"], false),
            ("a, *", &["a"], false),
            ("ANY 1 (*)", &["a"], false),
        ] {
            assert_eq!(starves(&parse(text), frozen), starved, "{text} {frozen:?}");
        }
    }

    #[test]
    fn starving_needs_n_minus_w_plus_1() {
        let any1of2 = parse("ANY 1 (a, b)");
        assert!(!starves(&any1of2, &["a"]));
        assert!(starves(&any1of2, &["a", "B"]));
        assert!(starves(&parse("ANY 2 (a, b)"), &["a"]));
        assert!(starves(&parse("FIRST 2 (a, b, c)"), &["b", "c"]));
        assert!(!starves(&parse("FIRST 1 (a, b, c)"), &["b", "c"]));
        assert!(!starves(&parse("*"), &["a", "b"]));
        assert!(!starves(&parse("ANY 2 (a, a)"), &["a"]));
        assert!(
            !starves(&any1of2, &["a", "a"]),
            "one frozen standby named twice counts once"
        );
        assert!(
            !starves(&parse("ANY 3 (a, b)"), &["a"]),
            "a list that can never be satisfied proves nothing"
        );
    }
}
