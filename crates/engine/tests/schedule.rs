//! Several answers on one engine: side by side they are what each is alone, they
//! share what they have in common, and none waits for ever.

mod support;

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use moestro_engine::Host;
use moestro_engine::protocol::{
    Command, Event, FinishReason, Form, GenerateRequest, GenerationStats, LoadRequest,
    MemorySettings, Prompt,
};
use support::{fixture, greedy_request};

/// Far longer than anything here takes; only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(120);

struct Answers {
    host: Host,
    events: Receiver<Event>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Answer {
    text: String,
    end: Option<(FinishReason, GenerationStats)>,
}

fn host(model: &str, context: usize) -> Answers {
    let (host, events) = Host::with_channel();
    let request = LoadRequest {
        model: fixture(model),
        memory: MemorySettings {
            context: Some(context),
            ..MemorySettings::default()
        },
        threads: Some(2),
        quantize: None,
    };
    host.send(Command::Load { id: 1, request });
    let answers = Answers { host, events };
    while !matches!(answers.next(), Event::Loaded { .. }) {}
    answers
}

impl Answers {
    fn next(&self) -> Event {
        let event = self.events.recv_timeout(PATIENCE).expect("an event");
        assert!(!matches!(event, Event::Failed { .. }), "{event:?}");
        event
    }

    fn ask(&self, id: u64, request: GenerateRequest) {
        self.host.send(Command::Generate { id, request });
    }

    /// Until all of them have ended. The second list has the numbers in the order in
    /// which their first tokens came.
    fn wait(&self, ids: &[u64]) -> (BTreeMap<u64, Answer>, Vec<u64>) {
        let mut answers: BTreeMap<u64, Answer> = BTreeMap::new();
        let mut begun = Vec::new();
        while ids
            .iter()
            .any(|id| answers.get(id).is_none_or(|a| a.end.is_none()))
        {
            match self.next() {
                Event::Token { id, text, .. } => {
                    if !begun.contains(&id) {
                        begun.push(id);
                    }
                    answers.entry(id).or_default().text.push_str(&text);
                }
                Event::Finished { id, reason, stats } => {
                    answers.entry(id).or_default().end = Some((reason, stats));
                }
                _ => {}
            }
        }
        (answers, begun)
    }

    fn alone(&self, id: u64, request: GenerateRequest) -> Answer {
        self.ask(id, request);
        self.wait(&[id]).0.remove(&id).unwrap()
    }
}

/// Prompts with nothing in common from their first token on.
fn prompt(seed: u32, len: u32) -> Vec<u32> {
    (0..len).map(|i| 5 + (i * 7 + seed * 131) % 1500).collect()
}

/// The answer of a request by itself, on an engine that has seen nothing else.
fn fresh(model: &str, request: GenerateRequest) -> Answer {
    host(model, 4096).alone(2, request)
}

#[test]
fn together_they_are_what_each_is_alone() {
    for model in ["gguf/qwen3_next-tiny.gguf", "qwen3_moe-tiny"] {
        let request = |i: u64| greedy_request(prompt(i as u32, 3 + 90 * i as u32), 20 + i as usize);
        let ids: Vec<u64> = (2..8).collect();
        let together = host(model, 4096);
        ids.iter().for_each(|id| together.ask(*id, request(*id)));
        let (answers, _) = together.wait(&ids);
        for id in ids {
            let alone = fresh(model, request(id));
            assert_eq!(answers[&id].text, alone.text, "{model}: answer {id}");
            let tokens = |a: &Answer| a.end.as_ref().map(|(_, s)| s.generated_tokens);
            assert_eq!(tokens(&answers[&id]), tokens(&alone));
        }
    }
}

/// The text so far is the same, bit for bit, wherever prompts were cut into chunks.
#[test]
fn what_was_read_once_is_shared() {
    let model = "gguf/qwen3_next-tiny.gguf";
    let common = prompt(1, 300);
    let request = |tail: u32| greedy_request([common.clone(), prompt(tail, 20)].concat(), 12);
    let shared = host(model, 4096);
    let fresh_text = |tail| fresh(model, request(tail)).text;
    let reused = |a: &Answer| a.end.as_ref().unwrap().1.reused_tokens;
    // The second shows what is common, the third has the use of it.
    for (id, reuse) in [(2, 0), (3, 0), (4, 300)] {
        let answer = shared.alone(id, request(id as u32 + 10));
        assert_eq!(reused(&answer), reuse, "answer {id}");
        assert_eq!(answer.text, fresh_text(id as u32 + 10));
    }
    let ids = [5, 6];
    ids.iter()
        .for_each(|id| shared.ask(*id, request(*id as u32 + 10)));
    let (answers, _) = shared.wait(&ids);
    for id in ids {
        assert_eq!(reused(&answers[&id]), 300);
        assert_eq!(answers[&id].text, fresh_text(id as u32 + 10));
    }
    assert_eq!(
        reused(&shared.alone(10, request(12))),
        319,
        "all but its last token"
    );
    // The same prompt several times is read once.
    let ids = [7, 8, 9];
    let same = || greedy_request(prompt(77, 200), 6);
    ids.iter().for_each(|id| shared.ask(*id, same()));
    let (answers, _) = shared.wait(&ids);
    assert_eq!(ids.map(|id| reused(&answers[&id])), [0, 199, 199]);
    assert!(answers[&7].text == answers[&8].text && answers[&8].text == answers[&9].text);
}

#[test]
fn an_answer_sent_back_to_wait_goes_on_where_it_was() {
    let model = "gguf/qwen3_next-tiny.gguf";
    // Room for the beginning of both and the end of one.
    let crowded = host(model, 1100);
    let request = |id: u64| greedy_request(prompt(id as u32, 8), 800);
    let ids = [2, 3];
    ids.iter().for_each(|id| crowded.ask(*id, request(*id)));
    let (answers, begun) = crowded.wait(&ids);
    assert_eq!(begun, ids, "both began");
    for id in ids {
        let alone = host(model, 1100).alone(2, request(id));
        assert_eq!(answers[&id].text, alone.text);
        assert_eq!(answers[&id].end.as_ref().unwrap().1.generated_tokens, 800);
    }
}

#[test]
fn nobody_waits_for_all_of_anothers() {
    let crowded = host("gguf/qwen3_next-tiny.gguf", 4096);
    let request = |id: u64, client: &str| GenerateRequest {
        client: client.into(),
        ..greedy_request(prompt(id as u32, 5), 30)
    };
    let many: Vec<u64> = (2..42).collect();
    many.iter()
        .for_each(|id| crowded.ask(*id, request(*id, "greedy")));
    crowded.ask(100, request(100, "other"));
    let all = [&many[..], &[100]].concat();
    let (_, begun) = crowded.wait(&all);
    let place = begun.iter().position(|id| *id == 100).unwrap();
    assert!(place < 30, "it was number {place} to begin");
}

#[test]
fn each_is_cancelled_by_itself() {
    let answers = host("gguf/qwen3_next-tiny.gguf", 60_000);
    let long = |id: u64| greedy_request(prompt(id as u32, 4), 10_000);
    let reading = greedy_request(prompt(50, 40_000), 5);
    answers.ask(2, long(2));
    answers.ask(3, long(3));
    answers.ask(4, reading);
    // Running answers keep flowing while a long prompt is read.
    let (mut tokens, mut chunks) = (0, 0);
    while tokens < 20 || chunks < 20 {
        match answers.next() {
            Event::Token { .. } => tokens += 1,
            Event::PrefillProgress { id: 4, .. } => chunks += 1,
            _ => {}
        }
    }
    answers.host.send(Command::Cancel { id: 4 });
    answers.host.send(Command::Cancel { id: 2 });
    let (ended, _) = answers.wait(&[2, 4]);
    let reason = |id| ended.get(id).and_then(|a| a.end.as_ref()).map(|(r, _)| *r);
    assert_eq!(reason(&2), Some(FinishReason::Cancelled));
    assert_eq!(reason(&4), Some(FinishReason::Cancelled));
    assert_eq!(reason(&3), None, "it goes on");
    answers.ask(5, long(5));
    answers.host.send(Command::Cancel { id: 5 });
    answers.host.send(Command::Cancel { id: 3 });
    answers.wait(&[3, 5]);
    let last = answers.alone(6, greedy_request(prompt(3, 4), 3));
    assert_eq!(last.end.unwrap().1.generated_tokens, 3);
}

#[test]
fn bias_probabilities_and_form_act_on_the_answer() {
    let answers = host("gguf/qwen3_next-tiny.gguf", 4096);
    let plain = greedy_request(prompt(1, 6), 4);
    let mut request = plain.clone();
    request.logit_bias = BTreeMap::from([(7, 100.0)]);
    request.logprobs = Some(3);
    answers.ask(2, request);
    let mut seen = 0;
    loop {
        match answers.next() {
            Event::Token {
                logprobs: Some(l), ..
            } => {
                assert_eq!(l.chosen.token, 7);
                assert_eq!(l.likeliest.len(), 3);
                assert!(l.likeliest.is_sorted_by(|a, b| a.logprob >= b.logprob));
                assert!(l.likeliest[0].logprob <= 0.0 && l.chosen.logprob < 0.0);
                seen += 1;
            }
            Event::Finished { .. } => break,
            _ => {}
        }
    }
    assert_eq!(seen, 4);

    let schema = serde_json::json!({
        "type": "object",
        "properties": { "n": { "type": "integer", "minimum": 3, "maximum": 5 },
            "ok": { "type": "boolean" } },
        "required": ["n", "ok"],
        "additionalProperties": false,
    });
    for seed in 0..8 {
        let mut request = plain.clone();
        request.max_tokens = Some(200);
        request.sampling.temperature = Some(1.5);
        request.sampling.seed = Some(seed);
        request.form = Some(Form::JsonSchema {
            schema: schema.clone(),
        });
        let answer = answers.alone(10 + seed, request);
        let value: serde_json::Value = serde_json::from_str(&answer.text).expect(&answer.text);
        assert!((3..=5).contains(&value["n"].as_i64().unwrap()), "{value}");
        assert!(value["ok"].is_boolean());
        assert_eq!(answer.end.unwrap().0, FinishReason::Stop);
    }

    let request = GenerateRequest {
        form: Some(Form::JsonSchema {
            schema: serde_json::json!({ "type": "no such type" }),
        }),
        prompt: Prompt::Raw { text: "x".into() },
        ..GenerateRequest::default()
    };
    answers.host.send(Command::Generate { id: 30, request });
    let said = answers.events.recv_timeout(PATIENCE).unwrap();
    let Event::Failed { failure, .. } = said else {
        panic!("{said:?}");
    };
    assert!(failure.message.contains("form"), "{}", failure.message);
}

/// A schema that takes long to become a grammar keeps no running answer waiting.
#[test]
fn heavy_schemas_are_prepared_beside_running_answers() {
    let answers = host("gguf/qwen3_next-tiny.gguf", 60_000);
    answers.ask(2, greedy_request(prompt(2, 4), 50_000));
    while !matches!(answers.next(), Event::Token { .. }) {}
    let property = |i: usize| {
        let schema =
            serde_json::json!({ "type": "string", "pattern": format!("^(a|b{i}){{1,40}}x+$") });
        (format!("property {i}"), schema)
    };
    let properties: serde_json::Map<_, _> = (0..1500).map(property).collect();
    let schema = serde_json::json!({ "type": "object", "properties": properties });
    let mut heavy = greedy_request(prompt(3, 4), 3);
    heavy.form = Some(Form::JsonSchema { schema });
    while answers.events.try_recv().is_ok() {}
    answers.ask(3, heavy);
    let mut tokens = 0;
    loop {
        let event = answers.events.recv_timeout(PATIENCE).expect("an event");
        match event {
            Event::Token { id: 2, .. } => tokens += 1,
            // Whether it can be kept is not the question.
            event if event.id() == Some(3) => break,
            _ => {}
        }
    }
    assert!(tokens > 20, "{tokens} tokens came meanwhile");
    answers.host.send(Command::Cancel { id: 2 });
}
