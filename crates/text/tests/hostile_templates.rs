//! Templates that try to use all memory or all time end with an error that says
//! so, within 512 MiB for the whole process.

mod common;

use moestro_text::{ChatTemplate, Message, SpecialTokens, TemplateOptions, TextError};

fn render(source: &str) -> Result<String, TextError> {
    let template = ChatTemplate::new(source, SpecialTokens::default())?;
    template.render(&[Message::new("user", "Hi")], &TemplateOptions::default())
}

fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1024
}

/// All must be stopped by a bound.
const BOMBS: &[&str] = &[
    "{{ 'a' * 10**9 }}",
    "{{ 10**9 * 'a' }}",
    "{{ ('a' * 99999999) ~ ('b' * 99999999) ~ ('c' * 99999999) }}",
    "{% set x = (1,) * 99999999 %}{% set y = x + x %}",
    "{% set x = [1] * 99999999 %}{{ x }}",
    "{% set ns = namespace(s='a') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "{% set ns = namespace(s='a') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "{% set ns = namespace(s='a') %}{% for i in range(60) %}{% set ns.s = ns.s * 2 %}{% endfor %}",
    "{% set ns = namespace(s=['a']) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "{% set ns = namespace(s=('a',)) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "{% set ns = namespace(s='a') %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s]|join %}{% endfor %}",
    "{% set ns = namespace(s='a') %}{% for i in range(60) %}{% set ns.s = ns.s.join([ns.s, ns.s]) %}{% endfor %}",
    "{% set ns = namespace(s='aa') %}{% for i in range(60) %}{% set ns.s = ns.s|replace('a', ns.s) %}{% endfor %}",
    "{% set ns = namespace(s='aa') %}{% for i in range(60) %}{% set ns.s = ns.s.replace('', ns.s) %}{% endfor %}",
    "{% set ns = namespace(s='a') %}{% for i in range(60) %}{% set t %}{{ ns.s }}{{ ns.s }}{% endset %}{% set ns.s = t %}{% endfor %}",
    "{% set ns = namespace(s=['a']) %}{% for i in range(90) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
    "{% set ns = namespace(s=['a']) %}{% for i in range(90) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s|tojson }}",
    "{% set ns = namespace(s=['a']) %}{% for i in range(90) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s == ns.s }}",
    "{% set ns = namespace(s=['a']) %}{% for i in range(90) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ [ns.s]|unique|list }}",
    "{% set ns = namespace(s={'a': 1}) %}{% for i in range(90) %}{% set ns.s = {'a': ns.s, 'b': ns.s} %}{% endfor %}{{ ns.s }}",
    "{% macro m(s, n) %}{% if n %}{{ m(s ~ s, n - 1) }}{% else %}{{ s }}{% endif %}{% endmacro %}{{ m('aaaa', 60) }}",
    "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}",
    "{% set ns = namespace(l=[]) %}{% for i in range(99999) %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.l|length }}",
    "{% set s = 'ab' * 1000000 %}{% for i in range(90000) %}{% if 'xyz' in s %}{% endif %}{% endfor %}",
    "{% set s = 'ab' * 1000000 %}{% set t = 'ab' * 1000000 %}{% for i in range(90000) %}{% if s == t %}{% endif %}{% endfor %}",
    "{% set s = 'ab' * 1000000 %}{% for i in range(90000) %}{% if 0 < s < 3 %}{% endif %}{% endfor %}",
    "{% set s = 'ab' * 1000000 %}{% for i in range(90000) %}{% set t = s[1999999] %}{% endfor %}",
    "{% set s = 'ab' * 1000000 %}{% for i in range(90000) %}{% set t = s[::-1] %}{% endfor %}",
    "{% set s = 'ab' * 1000000 %}{% for i in range(90000) %}{% set t = s.strip(s) %}{% endfor %}",
    "{% set s = 'ab' * 1000000 %}{% for i in range(90000) %}{% set t = s|upper %}{% endfor %}",
    "{% set s = 'ab' * 1000000 %}{% for i in range(90000) %}{% set t = s|length %}{% endfor %}",
    "{% set s = 'ab' * 1000000 %}{% for i in range(90000) %}{% if s is eq(s) %}{% endif %}{% endfor %}",
    "{% set s = 'a ' * 4000000 %}{% set l = s.split() %}{% set m = s.split(' ') %}{% set n = s|list %}",
    "{% set s = 'a\n' * 4000000 %}{{ s|indent(100000) }}",
    "{% set s = 'a\n' * 100 %}{{ s|indent(10**15) }}",
    "{% set s = '{}' * 1000000 %}{{ s.format('x' * 1000000) }}",
    "{% set a, b = [1] * 90000000 %}",
    "{% set l = ['ab' * 1000000] * 100 %}{{ l|sort }}",
    "{% filter upper %}{% for i in range(90000) %}{{ 'a' * 100000 }}{% endfor %}{% endfilter %}",
    "{% for i in range(99999) %}{{ 'ab' * 100000 }}{% endfor %}",
    "{{ strftime_now('%Y' * 1000000) }}",
];

#[test]
fn bombs_are_defused() {
    for source in BOMBS {
        match render(source) {
            Err(TextError::TemplateLimit(_)) => {}
            // minijinja's own bound on recursion.
            Err(TextError::TemplateFailed(reason)) if reason.contains("recursion") => {}
            Ok(text) => panic!("{source}: rendered {} bytes", text.len()),
            Err(error) => panic!("{source}: {error}"),
        }
        let peak = peak_memory_mib();
        assert!(peak < 512, "{source}: {peak} MiB");
    }
    // A megabyte of plain template text in a captured loop.
    let raw = format!(
        "{{% set x %}}{{% for i in range(90000) %}}{}{{% endfor %}}{{% endset %}}",
        "a".repeat(400_000)
    );
    assert!(matches!(render(&raw), Err(TextError::TemplateLimit(_))));
    // The deepest list that fuel allows; dropping it recurses.
    for build in [
        "[ns.x]",
        "{'a': ns.x}",
        &format!("{}ns.x{}", "[".repeat(40), "]".repeat(40)),
    ] {
        let deep = format!(
            "{{% set ns = namespace(x=[]) %}}{{% for i in range(99999) %}}\
             {{% set ns.x = {build} %}}{{% endfor %}}done"
        );
        match render(&deep) {
            Ok(_) | Err(TextError::TemplateLimit(_)) => {}
            Err(error) => panic!("{build}: {error}"),
        }
    }
    let printed = "{% set ns = namespace(x=[]) %}{% for i in range(999) %}\
                   {% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}";
    assert!(matches!(render(printed), Err(TextError::TemplateLimit(_))));
    let peak = peak_memory_mib();
    assert!(peak < 512, "{peak} MiB");
}

#[test]
fn large_and_strange_sources_are_refused() {
    let long_chain = format!("{{{{ a{} }}}}", " ~ a".repeat(100_000));
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000));
    let nested = "{% if a %}".repeat(20_000);
    let elifs = format!(
        "{{% if a %}}{}{{% endif %}}",
        "{% elif b %}x".repeat(30_000)
    );
    let sources = [
        "a".repeat(10 << 20),
        long_chain,
        deep,
        nested,
        "{% include 'x' %}".into(),
        "{% import 'x' as x %}".into(),
        "{% from 'x' import y %}".into(),
        "{% extends 'x' %}".into(),
        "{% block a %}{% endblock %}".into(),
        "{{ f(*range(3)) }}".into(),
        "{% autoescape true %}{% endautoescape %}".into(),
        "{{ unclosed".into(),
        "{% endfor %}".into(),
    ];
    for source in sources {
        let shown: String = source.chars().take(40).collect();
        match ChatTemplate::new(&source, SpecialTokens::default()) {
            Err(TextError::TemplateSyntax(_)) => {}
            other => panic!("{shown}: {:?}", other.map(drop)),
        }
    }
    // Long but flat is fine.
    render(&elifs).unwrap();
}

#[test]
fn mistakes_are_errors_not_panics() {
    for source in [
        "{{ a.b.c }}",
        "{{ messages[7].role.x }}",
        "{{ messages[0].content.nosuch() }}",
        "{{ 1 / 0 }}",
        "{{ 'a' + 1 }}",
        "{{ nosuch() }}",
        "{{ 1|nosuch }}",
        "{{ 1 is nosuch }}",
        "{{ range(10**9) }}",
        "{{ range(-9223372036854775808, 9223372036854775807) }}",
        "{{ 170141183460469231731687303715884105727 + 1 }}",
        "{{ namespace|tojson }}",
        "{{ 'a'.split('') }}{{ 'a'.rsplit('') }}",
        "{{ strftime_now('%') }}",
        "{{ '{:99999}'.format(1) }}",
        "{% set a, b = 1, 2, 3 %}",
    ] {
        match render(source) {
            Err(TextError::TemplateFailed(_)) => {}
            other => panic!("{source}: {other:?}"),
        }
    }
}

#[test]
fn a_long_conversation_is_not_taken_for_an_attack() {
    let config = common::json("tokenizer/tokenizer_config.json");
    let source = config["chat_template"].as_str().unwrap();
    let template = ChatTemplate::new(source, SpecialTokens::default()).unwrap();
    let messages: Vec<Message> = (0..2000)
        .map(|i| {
            Message::new(
                if i % 2 == 0 { "user" } else { "assistant" },
                "word ".repeat(500),
            )
        })
        .collect();
    let text = template
        .render(&messages, &TemplateOptions::default())
        .unwrap();
    assert!(text.len() > 4_900_000);
    let one = [Message::new("user", "x".repeat(20 << 20))];
    let text = template.render(&one, &TemplateOptions::default()).unwrap();
    assert!(text.len() > 20 << 20);
}
