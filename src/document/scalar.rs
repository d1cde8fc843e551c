//! What a plain scalar means: YAML 1.2's core schema, made stricter where it guesses.
//!
//! Only `true` and `false` are booleans, and a number with leading zeros (`0644`, a date, a phone number) is text:
//! reading it as octal or as decimal would each surprise someone.

use super::Tree;

/// The value of a scalar that was written without quotes. `Err` where it is a number that does not fit.
pub(super) fn resolve(text: &str) -> Result<Tree, &'static str> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Tree::Null),
        "true" => return Ok(Tree::Boolean(true)),
        "false" => return Ok(Tree::Boolean(false)),
        _ => {}
    }
    if let Some(number) = integer(text) {
        return number.map(Tree::Integer);
    }
    match float(text) {
        Some(number) => number.map(Tree::Float),
        None => Ok(Tree::String {
            text: text.to_owned(),
            plain: true,
        }),
    }
}

fn integer(text: &str) -> Option<Result<i64, &'static str>> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (digits, radix) = if let Some(hex) = unsigned.strip_prefix("0x") {
        (hex, 16)
    } else if let Some(octal) = unsigned.strip_prefix("0o") {
        (octal, 8)
    } else {
        if unsigned.len() > 1 && unsigned.starts_with('0') {
            return None;
        }
        (unsigned, 10)
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let signed = if text.starts_with('-') {
        format!("-{digits}")
    } else {
        digits.to_owned()
    };
    Some(i64::from_str_radix(&signed, radix).map_err(|_| "whole numbers have at most 64 bits"))
}

fn float(text: &str) -> Option<Result<f64, &'static str>> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" => {
            return Some(Ok(if text.starts_with('-') {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            }));
        }
        ".nan" | ".NaN" | ".NAN" if unsigned.len() == text.len() => return Some(Ok(f64::NAN)),
        _ => {}
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let good = (fraction.is_some() || exponent.is_some())
        && !(whole.is_empty() && fraction.unwrap_or_default().is_empty())
        && all_digits(whole)
        && !(whole.len() > 1 && whole.starts_with('0'))
        && fraction.is_none_or(all_digits)
        && exponent.is_none_or(|e| {
            let e = e.strip_prefix(['-', '+']).unwrap_or(e);
            !e.is_empty() && all_digits(e)
        });
    // What overflows would be read as an infinity that nobody wrote.
    let number: f64 = good.then(|| text.parse().ok()).flatten()?;
    Some(if number.is_finite() {
        Ok(number)
    } else {
        Err("numbers reach to 1.8e308")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Tree {
        Tree::String {
            text: text.to_owned(),
            plain: true,
        }
    }

    #[test]
    fn plain_scalars_are_what_they_look_like() {
        let table = [
            ("", Tree::Null),
            ("~", Tree::Null),
            ("null", Tree::Null),
            ("true", Tree::Boolean(true)),
            ("false", Tree::Boolean(false)),
            ("True", text("True")),
            ("yes", text("yes")),
            ("no", text("no")),
            ("on", text("on")),
            ("off", text("off")),
            ("0", Tree::Integer(0)),
            ("-12", Tree::Integer(-12)),
            ("+5", Tree::Integer(5)),
            ("0x1F", Tree::Integer(31)),
            ("0o17", Tree::Integer(15)),
            ("0644", text("0644")),
            ("00.5", text("00.5")),
            ("9223372036854775807", Tree::Integer(i64::MAX)),
            ("-9223372036854775808", Tree::Integer(i64::MIN)),
            ("1.5", Tree::Float(1.5)),
            ("1.", Tree::Float(1.0)),
            (".5", Tree::Float(0.5)),
            ("1e3", Tree::Float(1000.0)),
            ("-.inf", Tree::Float(f64::NEG_INFINITY)),
            ("1.0.0", text("1.0.0")),
            ("1_000", text("1_000")),
            (".", text(".")),
            ("e3", text("e3")),
            ("-", text("-")),
            ("90s", text("90s")),
            ("0/16B3748", text("0/16B3748")),
            ("2026-01-01", text("2026-01-01")),
        ];
        for (written, expected) in table {
            assert_eq!(resolve(written), Ok(expected), "{written}");
        }
        for beyond in ["9223372036854775808", "1e310", "-1e310"] {
            assert!(resolve(beyond).is_err(), "{beyond}");
        }
    }
}
