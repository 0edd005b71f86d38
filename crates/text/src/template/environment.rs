//! What a template can call. Everything here charges before it works.

use std::sync::{Arc, Mutex};

use minijinja::value::{ArgType, Kwargs, Rest, Value, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, filters, functions, tests};

use super::budget::{Budget, FUEL, ITEM};
use super::charge::{self, flat_size};
use super::{json, methods, python, source};

/// What the template said with `raise_exception`.
pub type Refusal = Arc<Mutex<Option<String>>>;

pub fn build(budget: &Budget, refusal: &Refusal) -> Environment<'static> {
    let mut env = Environment::empty();
    env.set_fuel(Some(FUEL));
    charge::register(&mut env, budget);
    add_output(&mut env, budget);
    add_filters(&mut env, budget);
    add_tests(&mut env, budget);
    add_functions(&mut env, budget, refusal);
    let b = budget.clone();
    env.set_unknown_method_callback(move |state, value, method, args| {
        methods::call(&b, state, value, method, args)
    });
    env
}

fn add_output(env: &mut Environment, budget: &Budget) {
    let budget = budget.clone();
    env.set_formatter(move |out, _, value| {
        let text = python::text(&budget, value)?;
        let text = text.as_str().unwrap_or_default();
        budget.create(text.len() as u64)?;
        out.write_str(text).map_err(Error::from)
    });
}

/// How a filter's cost follows from its arguments.
#[derive(Clone, Copy)]
enum Cost {
    /// This many bytes for each byte of text or item slot.
    Flat(u64),
    /// Compares or looks through everything, in n log n.
    Deep,
}

fn add_filters(env: &mut Environment, budget: &Budget) {
    use Cost::{Deep, Flat};
    let library: [(&str, Value, Cost); 35] = [
        ("abs", Value::from_function(filters::abs), Flat(1)),
        ("attr", Value::from_function(filters::attr), Flat(1)),
        ("bool", Value::from_function(filters::bool), Flat(1)),
        (
            "capitalize",
            Value::from_function(filters::capitalize),
            Flat(3),
        ),
        ("count", Value::from_function(filters::length), Flat(1)),
        ("d", Value::from_function(filters::default), Flat(0)),
        ("default", Value::from_function(filters::default), Flat(0)),
        ("dictsort", Value::from_function(filters::dictsort), Deep),
        ("e", Value::from_function(filters::escape), Flat(6)),
        ("escape", Value::from_function(filters::escape), Flat(6)),
        ("first", Value::from_function(filters::first), Flat(1)),
        ("float", Value::from_function(filters::float), Flat(1)),
        ("groupby", Value::from_function(filters::groupby), Deep),
        ("int", Value::from_function(filters::int), Flat(1)),
        ("items", Value::from_function(filters::items), Flat(2)),
        ("last", Value::from_function(filters::last), Flat(1)),
        ("length", Value::from_function(filters::length), Flat(1)),
        ("lines", Value::from_function(filters::lines), Flat(ITEM)),
        ("list", Value::from_function(filters::list), Flat(ITEM)),
        ("lower", Value::from_function(filters::lower), Flat(3)),
        ("map", Value::from_function(filters::map), Flat(2)),
        ("max", Value::from_function(filters::max), Deep),
        ("min", Value::from_function(filters::min), Deep),
        ("reject", Value::from_function(filters::reject), Flat(1)),
        (
            "rejectattr",
            Value::from_function(filters::rejectattr),
            Flat(1),
        ),
        ("reverse", Value::from_function(filters::reverse), Flat(1)),
        ("round", Value::from_function(filters::round), Flat(1)),
        ("safe", Value::from_function(filters::safe), Flat(1)),
        ("select", Value::from_function(filters::select), Flat(1)),
        (
            "selectattr",
            Value::from_function(filters::selectattr),
            Flat(1),
        ),
        ("sort", Value::from_function(filters::sort), Deep),
        ("sum", Value::from_function(filters::sum), Flat(1)),
        ("title", Value::from_function(filters::title), Flat(3)),
        ("unique", Value::from_function(filters::unique), Deep),
        ("upper", Value::from_function(filters::upper), Flat(3)),
    ];
    for (name, filter, cost) in library {
        let b = budget.clone();
        env.add_filter(name, move |state: &mut State, args: Rest<ValueOrKwargs>| {
            let args = args.into_values();
            charge_call(&b, &args, cost)?;
            filter.call(state, &args)
        });
    }
    let b = budget.clone();
    env.add_filter("tojson", move |value: Value, options: Kwargs| {
        json::tojson(&b, &value, options)
    });
    let b = budget.clone();
    env.add_filter("string", move |value: Value| python::text(&b, &value));
    let b = budget.clone();
    env.add_filter(
        "join",
        move |items: Value, separator: Option<String>, named: Kwargs| {
            let separator = either(separator, &named, "d")?.unwrap_or_default();
            let attribute: Option<String> = named.get("attribute")?;
            named.assert_all_used()?;
            methods::join(&b, &separator, &items, attribute.as_deref())
        },
    );
    let b = budget.clone();
    env.add_filter(
        "indent",
        move |text: String, width: Option<usize>, first: Option<bool>, named: Kwargs| {
            let width = either(width, &named, "width")?.unwrap_or(4);
            let first = either(first, &named, "first")?.unwrap_or(false);
            named.assert_all_used()?;
            methods::indent(&b, &text, width, first)
        },
    );
    for (filter, method) in [
        ("replace", "replace"),
        ("split", "split"),
        ("trim", "strip"),
    ] {
        let b = budget.clone();
        env.add_filter(
            filter,
            move |state: &mut State, value: Value, args: Rest<Value>| {
                let text = python::text(&b, &value)?;
                methods::call(&b, state, &text, method, &args)
            },
        );
    }
}

/// An argument given by place or by name.
fn either<T>(placed: Option<T>, named: &Kwargs, name: &'static str) -> Result<Option<T>, Error>
where
    Option<T>: for<'a> ArgType<'a, Output = Option<T>>,
{
    match placed {
        Some(value) => Ok(Some(value)),
        None => named.get::<Option<T>>(name),
    }
}

fn charge_call(budget: &Budget, args: &[Value], cost: Cost) -> Result<(), Error> {
    for arg in args {
        match cost {
            Cost::Flat(0) => {}
            Cost::Flat(factor) => budget.create(flat_size(budget, arg)?.saturating_mul(factor))?,
            Cost::Deep => {
                let weight = budget.weigh(arg)?;
                budget.look(weight.saturating_mul(u64::from(weight.max(2).ilog2())))?;
                budget.create(flat_size(budget, arg)?)?;
            }
        }
    }
    Ok(())
}

fn add_tests(env: &mut Environment, budget: &Budget) {
    env.add_test("undefined", tests::is_undefined);
    env.add_test("defined", tests::is_defined);
    env.add_test("none", tests::is_none);
    env.add_test("boolean", tests::is_boolean);
    env.add_test("odd", tests::is_odd);
    env.add_test("even", tests::is_even);
    env.add_test("divisibleby", tests::is_divisibleby);
    env.add_test("number", tests::is_number);
    env.add_test("integer", tests::is_integer);
    env.add_test("int", tests::is_integer);
    env.add_test("float", tests::is_float);
    env.add_test("string", tests::is_string);
    // In Python a text is a sequence and can be iterated over.
    env.add_test("sequence", |v: &Value| {
        tests::is_sequence(v) || v.as_str().is_some()
    });
    env.add_test("iterable", tests::is_iterable);
    env.add_test("mapping", tests::is_mapping);
    env.add_test("true", tests::is_true);
    env.add_test("false", tests::is_false);
    let comparing: [(&str, Value); 18] = [
        ("eq", Value::from_function(tests::is_eq)),
        ("equalto", Value::from_function(tests::is_eq)),
        ("==", Value::from_function(tests::is_eq)),
        ("ne", Value::from_function(tests::is_ne)),
        ("!=", Value::from_function(tests::is_ne)),
        ("lt", Value::from_function(tests::is_lt)),
        ("lessthan", Value::from_function(tests::is_lt)),
        ("<", Value::from_function(tests::is_lt)),
        ("le", Value::from_function(tests::is_le)),
        ("<=", Value::from_function(tests::is_le)),
        ("gt", Value::from_function(tests::is_gt)),
        ("greaterthan", Value::from_function(tests::is_gt)),
        (">", Value::from_function(tests::is_gt)),
        ("ge", Value::from_function(tests::is_ge)),
        (">=", Value::from_function(tests::is_ge)),
        ("in", Value::from_function(tests::is_in)),
        ("lower", Value::from_function(tests::is_lower)),
        ("upper", Value::from_function(tests::is_upper)),
    ];
    for (name, test) in comparing {
        let b = budget.clone();
        env.add_test(name, move |state: &mut State, args: Rest<Value>| {
            for arg in args.iter() {
                b.weigh(arg)?;
            }
            test.call(state, &args).map(|v| v.is_true())
        });
    }
}

fn add_functions(env: &mut Environment, budget: &Budget, refusal: &Refusal) {
    env.add_global(source::ONE, 1);
    env.add_function("range", functions::range);
    env.add_function("namespace", functions::namespace);
    let b = budget.clone();
    let dict = Value::from_function(functions::dict);
    env.add_function(
        "dict",
        move |state: &mut State, args: Rest<ValueOrKwargs>| {
            let args = args.into_values();
            charge_call(&b, &args, Cost::Flat(2))?;
            dict.call(state, &args)
        },
    );
    let refusal = refusal.clone();
    env.add_function(
        "raise_exception",
        move |message: String| -> Result<Value, Error> {
            if let Ok(mut slot) = refusal.lock() {
                *slot = Some(message.chars().take(500).collect());
            }
            Err(Error::new(ErrorKind::InvalidOperation, "raise_exception"))
        },
    );
    let b = budget.clone();
    env.add_function("strftime_now", move |format: String| {
        // jiff pads a field to at most 255 characters.
        b.create((format.len() as u64).saturating_mul(256))?;
        jiff::fmt::strtime::format(&format, &jiff::Zoned::now())
            .map_err(|e| Error::new(ErrorKind::InvalidOperation, format!("strftime_now: {e}")))
    });
}
