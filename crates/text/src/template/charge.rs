//! What operators cost. Each function here charges the operands of the
//! instruction after it and returns them, top of the stack first.

use minijinja::value::{Tuple, Value, ValueKind};
use minijinja::{Environment, Error};

use super::budget::{Budget, ITEM};
use super::python;

// No template can call or redefine these: they are not names.
pub const CHARGE_ADD: &str = "+";
pub const CHARGE_MUL: &str = "*";
pub const CHARGE_CONCAT: &str = "~";
pub const CHARGE_COMPARE: &str = "==";
pub const CHARGE_ITEM: &str = "[]";
pub const CHARGE_SLICE: &str = "[:]";

type Cost = fn(&Budget, Value, Value) -> Result<(Value, Value), Error>;

pub fn register(env: &mut Environment, budget: &Budget) {
    let costs: [(&str, Cost); 5] = [
        (CHARGE_ADD, add),
        (CHARGE_MUL, multiply),
        (CHARGE_CONCAT, concatenate),
        (CHARGE_COMPARE, compare),
        (CHARGE_ITEM, item),
    ];
    for (name, cost) in costs {
        let budget = budget.clone();
        env.add_function(name, move |a: Value, b: Value| {
            cost(&budget, a, b).map(|(a, b)| Value::from(Tuple::from([b, a])))
        });
    }
    let budget = budget.clone();
    env.add_function(
        CHARGE_SLICE,
        move |a: Value, start: Value, stop: Value, step: Value| {
            budget.create(flat_size(&budget, &a)?)?;
            Ok::<_, Error>(Value::from(Tuple::from(vec![step, stop, start, a])))
        },
    );
}

/// The bytes of a text, or of a list without what its items refer to.
pub fn flat_size(budget: &Budget, value: &Value) -> Result<u64, Error> {
    Ok(match value.kind() {
        ValueKind::String => value.as_str().map_or(0, str::len) as u64,
        ValueKind::Bytes => value.len().unwrap_or(0) as u64,
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => match value.len() {
            Some(len) => len as u64 * ITEM,
            None => budget.weigh(value)?,
        },
        _ => 0,
    })
}

fn add(budget: &Budget, a: Value, b: Value) -> Result<(Value, Value), Error> {
    budget.create(flat_size(budget, &a)?.saturating_add(flat_size(budget, &b)?))?;
    Ok((a, b))
}

fn multiply(budget: &Budget, a: Value, b: Value) -> Result<(Value, Value), Error> {
    let times = |v: &Value| v.as_i64().unwrap_or(1).max(1).unsigned_abs();
    let size = |v: &Value| flat_size(budget, v);
    budget.create(size(&a)?.saturating_mul(times(&b)))?;
    budget.create(size(&b)?.saturating_mul(times(&a)))?;
    Ok((a, b))
}

/// `~` joins what Python's `str` makes of its operands.
fn concatenate(budget: &Budget, a: Value, b: Value) -> Result<(Value, Value), Error> {
    let a = python::text(budget, &a)?;
    let b = python::text(budget, &b)?;
    add(budget, a, b)
}

fn compare(budget: &Budget, a: Value, b: Value) -> Result<(Value, Value), Error> {
    budget.weigh(&a)?;
    budget.weigh(&b)?;
    Ok((a, b))
}

fn item(budget: &Budget, a: Value, b: Value) -> Result<(Value, Value), Error> {
    if matches!(a.kind(), ValueKind::String | ValueKind::Iterable) {
        budget.look(flat_size(budget, &a)?)?;
    }
    budget.weigh(&b)?;
    Ok((a, b))
}
