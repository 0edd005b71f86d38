//! Values as Python prints them, which is what templates were written against.

use std::fmt::Write;

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

use super::budget::{Budget, exceeded};

/// Collects text up to the memory budget.
pub struct Text<'b> {
    budget: &'b Budget,
    pub text: String,
}

impl<'b> Text<'b> {
    pub fn new(budget: &'b Budget) -> Text<'b> {
        Text {
            budget,
            text: String::new(),
        }
    }

    pub fn budget(&self) -> &'b Budget {
        self.budget
    }

    pub fn push(&mut self, text: &str) -> Result<(), Error> {
        self.budget.create(text.len() as u64)?;
        self.text.push_str(text);
        Ok(())
    }
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.push(text).map_err(|_| std::fmt::Error)
    }
}

/// `str(value)` as a value; a text stays as it is.
pub fn text(budget: &Budget, value: &Value) -> Result<Value, Error> {
    if value.as_str().is_some() {
        return Ok(value.clone());
    }
    let mut out = Text::new(budget);
    write_str(&mut out, value)?;
    Ok(Value::from(out.text))
}

/// `str(value)`.
pub fn write_str(out: &mut Text, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => out.push(text),
        None if value.is_undefined() => Ok(()),
        None => {
            // Also refuses what is nested too deeply to recurse.
            out.budget.weigh(value)?;
            write_repr(out, value)
        }
    }
}

/// `repr(value)`.
fn write_repr(out: &mut Text, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Undefined => out.push("Undefined"),
        ValueKind::None => out.push("None"),
        ValueKind::Bool => out.push(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number => write_number(out, value),
        ValueKind::String => write_quoted(out, value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => {
            let (open, close) = if value.is_tuple() {
                ("(", ")")
            } else {
                ("[", "]")
            };
            out.push(open)?;
            let mut count = 0;
            for item in value.try_iter()? {
                if count > 0 {
                    out.push(", ")?;
                }
                write_repr(out, &item)?;
                count += 1;
            }
            if value.is_tuple() && count == 1 {
                out.push(",")?;
            }
            out.push(close)
        }
        ValueKind::Map => {
            out.push("{")?;
            for (i, key) in value.try_iter()?.enumerate() {
                if i > 0 {
                    out.push(", ")?;
                }
                write_repr(out, &key)?;
                out.push(": ")?;
                write_repr(out, &value.get_item(&key)?)?;
            }
            out.push("}")
        }
        _ => write!(out, "{value}").map_err(|_| exceeded("it needs too much memory")),
    }
}

fn write_quoted(out: &mut Text, text: &str) -> Result<(), Error> {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut quoted = String::new();
    quoted.push(quote);
    for c in text.chars() {
        match c {
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c == quote => quoted.extend(['\\', c]),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", c as u32)),
            c => quoted.push(c),
        }
        if quoted.len() > 256 {
            out.push(&quoted)?;
            quoted.clear();
        }
    }
    quoted.push(quote);
    out.push(&quoted)
}

/// An integer in full; a float as the shortest digits that give it again.
pub fn write_number(out: &mut Text, value: &Value) -> Result<(), Error> {
    if value.is_integer() {
        return write!(out, "{value}").map_err(|_| exceeded("it needs too much memory"));
    }
    let number = f64::try_from(value.clone())
        .map_err(|e| Error::new(ErrorKind::InvalidOperation, e.to_string()))?;
    out.push(&float(number))
}

/// `repr` of a float: positional from 1e-4 up to 1e16, else with an exponent.
fn float(number: f64) -> String {
    if !number.is_finite() {
        let name = if number.is_nan() { "nan" } else { "inf" };
        return if number.is_sign_negative() && !number.is_nan() {
            format!("-{name}")
        } else {
            name.to_string()
        };
    }
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let scientific = format!("{number:e}");
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let positional = format!("{number}");
    if positional.contains('.') {
        positional
    } else {
        format!("{positional}.0")
    }
}

#[cfg(test)]
mod tests {
    use super::float;

    #[test]
    fn floats_as_python_writes_them() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123456.789, "123456.789"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (number, expected) in cases {
            assert_eq!(float(number), expected);
        }
    }
}
