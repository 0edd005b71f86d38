//! Python's methods of texts and dictionaries, which templates call.
//!
//! Most are minijinja-contrib's; here they are charged, and those are added that
//! it lacks.

use minijinja::value::{Value, from_args};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::budget::{Budget, ITEM};
use super::charge::flat_size;
use super::python::{self, Text};

/// Widest field of `format`; a directive can ask for any width.
const MAX_WIDTH_DIGITS: usize = 3;

pub fn call(
    budget: &Budget,
    state: &mut State,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let Some(text) = value.as_str() else {
        for arg in args {
            budget.weigh(arg)?;
        }
        budget.create(flat_size(budget, value)?)?;
        return unknown_method_callback(state, value, method, args);
    };
    match method {
        "join" => {
            let (items,): (Value,) = from_args(args)?;
            return join(budget, text, &items, None);
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            budget.create(text.len() as u64)?;
            return Ok(Value::from(text.strip_prefix(prefix).unwrap_or(text)));
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            budget.create(text.len() as u64)?;
            return Ok(Value::from(text.strip_suffix(suffix).unwrap_or(text)));
        }
        "partition" | "rpartition" => return partition(budget, text, method, args),
        "rsplit" => return rsplit(budget, text, args),
        _ => {}
    }
    charge(budget, text, method, args)?;
    unknown_method_callback(state, value, method, args)
}

fn charge(budget: &Budget, text: &str, method: &str, args: &[Value]) -> Result<(), Error> {
    let len = text.len() as u64;
    let arg = |i: usize| args.get(i).and_then(Value::as_str).unwrap_or_default();
    let arg_len = |i: usize| arg(i).len() as u64;
    for value in args {
        budget.weigh(value)?;
    }
    match method {
        "strip" | "lstrip" | "rstrip" => {
            budget.look(len.saturating_mul(arg_len(0)))?;
            budget.create(len)
        }
        "replace" => {
            budget.look(len)?;
            let limit = args
                .get(2)
                .and_then(Value::as_i64)
                .and_then(|n| u64::try_from(n).ok());
            let found = pieces(text, arg(0)).min(limit.unwrap_or(u64::MAX));
            budget.create(len.saturating_add(found.saturating_mul(arg_len(1))))
        }
        "split" => {
            budget.look(len)?;
            let count = match args.first().and_then(Value::as_str) {
                Some(separator) => pieces(text, separator),
                None => text.split_whitespace().count() as u64,
            };
            budget.create(len.saturating_add((count + 1).saturating_mul(2 * ITEM)))
        }
        "splitlines" => budget.create(len.saturating_add((pieces(text, "\n") + 1) * 2 * ITEM)),
        "format" => charge_format(budget, text, args),
        _ => budget.create(3 * len),
    }
}

/// How often `part` is in the text; an empty one is between all characters.
fn pieces(text: &str, part: &str) -> u64 {
    match part {
        "" => text.len() as u64 + 1,
        _ => text.matches(part).count() as u64,
    }
}

fn charge_format(budget: &Budget, text: &str, args: &[Value]) -> Result<(), Error> {
    let widest = text
        .split(|c: char| !c.is_ascii_digit())
        .map(str::len)
        .max()
        .unwrap_or(0);
    if widest > MAX_WIDTH_DIGITS || text.contains('*') {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "format: a field is too wide",
        ));
    }
    let fields = pieces(text, "{").saturating_add(pieces(text, "%"));
    let mut each = 1000;
    for arg in args {
        // Nested texts are printed with escapes.
        each += 8 * budget.weigh(arg)?;
    }
    budget.create((text.len() as u64).saturating_add(fields.saturating_mul(each)))
}

/// `separator.join(items)`, of anything that can be printed, or of an attribute of
/// each item.
pub fn join(
    budget: &Budget,
    separator: &str,
    items: &Value,
    attribute: Option<&str>,
) -> Result<Value, Error> {
    let mut out = Text::new(budget);
    for (i, item) in items.try_iter()?.enumerate() {
        if i > 0 {
            out.push(separator)?;
        }
        budget.look(ITEM)?;
        match attribute {
            Some(name) => python::write_str(&mut out, &item.get_attr(name)?)?,
            None => python::write_str(&mut out, &item)?,
        }
    }
    Ok(Value::from(out.text))
}

/// Jinja's `indent`: spaces before every line that is not empty.
pub fn indent(budget: &Budget, text: &str, width: usize, first: bool) -> Result<Value, Error> {
    let lines = pieces(text, "\n") + 1;
    budget.create((text.len() as u64).saturating_add(lines.saturating_mul(width as u64)))?;
    let margin = " ".repeat(width);
    let mut out = String::new();
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            out.push('\n');
        }
        if !line.is_empty() && (i > 0 || first) {
            out.push_str(&margin);
        }
        out.push_str(line);
    }
    Ok(Value::from(out))
}

fn partition(budget: &Budget, text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let (separator,): (&str,) = from_args(args)?;
    if separator.is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "partition: empty separator",
        ));
    }
    budget.create(text.len() as u64 + 3 * ITEM)?;
    let parts = if method == "partition" {
        match text.split_once(separator) {
            Some((before, after)) => [before, separator, after],
            None => [text, "", ""],
        }
    } else {
        match text.rsplit_once(separator) {
            Some((before, after)) => [before, separator, after],
            None => ["", "", text],
        }
    };
    Ok(parts.iter().map(|part| Value::from(*part)).collect())
}

fn rsplit(budget: &Budget, text: &str, args: &[Value]) -> Result<Value, Error> {
    let (separator, limit): (&str, Option<i64>) = from_args(args)?;
    if separator.is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "rsplit: empty separator",
        ));
    }
    let count = (pieces(text, separator) + 1).saturating_mul(2 * ITEM);
    budget.create((text.len() as u64).saturating_add(count))?;
    let limit = limit
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(usize::MAX - 1);
    let mut parts: Vec<Value> = text
        .rsplitn(limit + 1, separator)
        .map(Value::from)
        .collect();
    parts.reverse();
    Ok(Value::from(parts))
}
