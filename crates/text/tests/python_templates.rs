//! Templates mean what they mean to Jinja2 in Python with Transformers' settings.
//! The expected texts were produced with Jinja2 3.1.

use moestro_text::{ChatTemplate, Message, SpecialTokens, TemplateOptions, TextError};
use serde_json::{Map, Value, json};

fn render(source: &str, extra: Value) -> Result<String, TextError> {
    let special = SpecialTokens {
        bos: Some("<s>".into()),
        eos: Some("</s>".into()),
        pad: None,
    };
    let template = ChatTemplate::new(source, special)?;
    let extra: Map<String, Value> = extra.as_object().cloned().unwrap_or_default();
    let options = TemplateOptions {
        extra,
        ..TemplateOptions::default()
    };
    template.render(&[Message::new("user", "Hi there")], &options)
}

#[test]
fn expressions() {
    let data =
        json!({"d": {"z": 1, "a": [1.0, 2, null, true, "é\"'\n"]}, "s": "  a-b-c  ", "n": 3});
    let cases = [
        (
            "{{ d|tojson }}",
            r#"{"z": 1, "a": [1.0, 2, null, true, "é\"'\n"]}"#,
        ),
        (
            "{{ d|tojson(ensure_ascii=true) }}",
            r#"{"z": 1, "a": [1.0, 2, null, true, "\u00e9\"'\n"]}"#,
        ),
        (
            "{{ d|tojson(sort_keys=true) }}",
            r#"{"a": [1.0, 2, null, true, "é\"'\n"], "z": 1}"#,
        ),
        ("{{ [1, {}]|tojson(indent=2) }}", "[\n  1,\n  {}\n]"),
        (
            "{{ d|tojson(separators=(',', ':')) }}",
            r#"{"z":1,"a":[1.0,2,null,true,"é\"'\n"]}"#,
        ),
        ("{{ '<a & b>'|tojson }}", r#""<a & b>""#),
        ("{{ d.a }}", "[1.0, 2, None, True, 'é\"\\'\\n']"),
        (
            "{{ true }} {{ none }} {{ 1.5 }} {{ 10**20 }}",
            "True None 1.5 100000000000000000000",
        ),
        ("{{ 'a' ~ true ~ none ~ 1.0 }}", "aTrueNone1.0"),
        ("{{ nothing }}|{{ nothing is defined }}", "|False"),
        ("{{ s.strip().split('-') }}", "['a', 'b', 'c']"),
        (
            "{{ s.strip().split('-')[-1] }}{{ s[2:5] }}{{ s.strip()[::-1] }}",
            "ca-bc-b-a",
        ),
        (
            "{{ s.lstrip() }}|{{ s.rstrip() }}|{{ s|trim }}",
            "a-b-c  |  a-b-c|a-b-c",
        ),
        (
            "{{ 'xxaxx'.strip('x') }}{{ 'abc'.startswith('ab') }}{{ 'abc'.endswith(('x', 'c')) }}",
            "aTrueTrue",
        ),
        (
            "{{ 'a.b.c'.rsplit('.', 1) }}{{ 'k=v=w'.partition('=')[2] }}",
            "['a.b', 'c']v=w",
        ),
        (
            "{{ 'abc'.removeprefix('a') }}{{ 'abc'.removesuffix('x') }}",
            "bcabc",
        ),
        (
            "{{ 'a b'.title() }}{{ 'Ab'.upper() }}{{ 'Ab'|lower }}{{ 'aXbX'.replace('X', '-', 1) }}",
            "A BABaba-bX",
        ),
        (
            "{{ ', '.join(['a', 'b']) }}{{ [1, none]|join('+') }}",
            "a, b1+None",
        ),
        (
            "{{ d.items()|list }}",
            "[('z', 1), ('a', [1.0, 2, None, True, 'é\"\\'\\n'])]",
        ),
        (
            "{% for k, v in d.items() %}{{ k }},{% endfor %}{{ d.get('q', 'no') }}{{ d.keys()|list }}",
            "z,a,no['z', 'a']",
        ),
        (
            "{{ n * 2 + 1 }} {{ 2 * n }} {{ 'ab' * n }} {{ 7 // 2 }} {{ 7 % 3 }} {{ 2 ** 3 * 2 }}",
            "7 6 ababab 3 1 16",
        ),
        (
            "{{ [1] * 2 + [3] }}{{ 1 < 2 < 3 }}{{ 1 < 2 > 5 }}{{ 3 not in [1, 2] }}",
            "[1, 1, 3]TrueFalseTrue",
        ),
        ("{{ 'x' in 'xyz' and 'z' or 'q' }}{{ not 1 == 2 }}", "zTrue"),
        (
            "{{ 'yes' if n > 2 else 'no' }}{{ n is string }}{{ d is mapping }}{{ d.a is iterable }}",
            "yesFalseTrueTrue",
        ),
        (
            "{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}",
            "<s></s>False",
        ),
        (
            "{{ messages[0]['content'] }}{{ messages|length }}{{ tools is none }}",
            "Hi there1True",
        ),
        (
            "{{ d.a|length }}{{ [3, 1, 2]|sort }}{{ [1, 2]|first }}{{ nothing|default('x') }}",
            "5[1, 2, 3]1x",
        ),
        (
            "{{ [{'r': 1}, {'r': 2}]|selectattr('r', 'equalto', 2)|list }}",
            "[{'r': 2}]",
        ),
        (
            "{{ [{'r': 1}, {'r': 2}]|map(attribute='r')|list }}",
            "[1, 2]",
        ),
        (
            "{{ [{'r': 1}, {'r': 2}]|join(', ', attribute='r') }}",
            "1, 2",
        ),
        ("{{ 'a\nb'|indent(width=2, first=true) }}", "  a\n  b"),
        ("{{ 'a\nb\n\nc'|indent(2) }}", "a\n  b\n\n  c"),
    ];
    for (source, expected) in cases {
        assert_eq!(
            render(source, data.clone()).as_deref(),
            Ok(expected),
            "{source}"
        );
    }
}

#[test]
fn statements() {
    let cases = [
        (
            "{% set ns = namespace(x=0) %}{% for i in range(4) %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}",
            "6",
        ),
        (
            "{% for i in range(5) if i % 2 %}{{ i }}{{ ',' if not loop.last }}{% else %}none{% endfor %}",
            "1,3",
        ),
        ("{% for i in [] %}{% else %}none{% endfor %}", "none"),
        (
            "{% for i in range(9) %}{% if i == 1 %}{% continue %}{% elif i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}",
            "02",
        ),
        (
            "{% macro m(a, b='x') %}[{{ a }}{{ b }}]{% endmacro %}{{ m(1) }}{{ m(2, b='y') }}",
            "[1x][2y]",
        ),
        (
            "{% set x %}a{{ 1 }}b{% endset %}{{ x }}{{ x|upper }}",
            "a1bA1B",
        ),
        ("{% filter upper %}a{% endfilter %}", "A"),
        ("{% with a = 1 %}{{ a }}{% endwith %}", "1"),
        ("{% set a, b = 1, 2 %}{{ b }}{{ a }}", "21"),
        ("  {% if true %}\n  x\n  {% endif %}\ny", "  x\ny"),
        ("a\n{%- if true -%}\n  x  \n{%- endif %}\n", "ax"),
        ("{% raw %}{{ x }}{% endraw %}{# comment #}", "{{ x }}"),
        (
            "{% for m in messages %}{{ m.role }}{{ loop.index }}{{ loop.first }}{% endfor %}",
            "user1True",
        ),
        (
            "{% macro down(n) %}{{ n }}{% if n %}{{ down(n - 1) }}{% endif %}{% endmacro %}{{ down(3) }}",
            "3210",
        ),
    ];
    for (source, expected) in cases {
        assert_eq!(
            render(source, json!({})).as_deref(),
            Ok(expected),
            "{source}"
        );
    }
}

#[test]
fn a_template_may_refuse() {
    let source = "{% if messages[0].role != 'system' %}{{ raise_exception('A system message must come first') }}{% endif %}";
    assert_eq!(
        render(source, json!({})),
        Err(TextError::TemplateRefused(
            "A system message must come first".into()
        ))
    );
}

#[test]
fn the_date_of_today() {
    let year = render("{{ strftime_now('%Y-%m-%d') }}", json!({})).unwrap();
    assert_eq!(year.len(), 10);
    assert!(year.starts_with("20"), "{year}");
}

#[test]
fn thinking_is_only_set_when_asked_for() {
    let template =
        ChatTemplate::new("{{ enable_thinking is defined }}", SpecialTokens::default()).unwrap();
    for (thinking, expected) in [(None, "False"), (Some(false), "True")] {
        let options = TemplateOptions {
            enable_thinking: thinking,
            ..Default::default()
        };
        assert_eq!(template.render(&[], &options).unwrap(), expected);
    }
}
