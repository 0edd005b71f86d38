//! The engine as its shells use it: commands in, events out.

mod support;

use std::sync::mpsc::Receiver;
use std::time::Duration;

use moestro_engine::protocol::{
    Command, Event, FailureKind, FinishReason, GenerateRequest, LoadRequest, MemorySettings,
    Message, Prompt, SamplingOverrides, TemplateArguments,
};
use moestro_engine::{Folders, Host};
use support::fixture;

/// Far longer than anything here takes; only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(120);

fn next(events: &Receiver<Event>) -> Event {
    events
        .recv_timeout(PATIENCE)
        .expect("the engine goes on talking")
}

/// Waits for the first event that `pick` accepts; a failure nobody picks ends the test.
fn until<T>(events: &Receiver<Event>, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
    loop {
        let event = next(events);
        if let Some(found) = pick(&event) {
            return found;
        }
        assert!(!matches!(event, Event::Failed { .. }), "{event:?}");
    }
}

fn loaded(memory: MemorySettings) -> (Host, Receiver<Event>) {
    let (host, events) = Host::with_channel();
    assert!(
        matches!(next(&events), Event::Ready { .. }),
        "the first event says hello"
    );
    let request = LoadRequest {
        model: fixture("gguf/qwen3_next-tiny.gguf"),
        memory,
        threads: Some(2),
        quantize: None,
    };
    host.send(Command::Load { id: 1, request });
    until(&events, |e| {
        matches!(e, Event::Loaded { id: 1, .. }).then_some(())
    });
    (host, events)
}

/// A long greedy answer that no end token or stop text cuts short.
fn long_answer(max_tokens: usize) -> GenerateRequest {
    GenerateRequest {
        prompt: Prompt::chat(vec![Message::new("user", "What is 2+2?")]),
        sampling: SamplingOverrides {
            temperature: Some(0.0),
            ..SamplingOverrides::default()
        },
        max_tokens: Some(max_tokens),
        ..GenerateRequest::default()
    }
}

fn finish(events: &Receiver<Event>, id: u64) -> (FinishReason, usize) {
    until(events, |e| match e {
        Event::Finished {
            id: of,
            reason,
            stats,
        } if *of == id => Some((*reason, stats.generated_tokens)),
        _ => None,
    })
}

#[test]
fn an_answer_comes_token_by_token_with_figures() {
    let (host, events) = loaded(MemorySettings::default());
    host.send(Command::Generate {
        id: 2,
        request: long_answer(12),
    });
    let mut tokens = 0;
    let stats = until(&events, |e| match e {
        Event::Token {
            id: 2, tokens: n, ..
        } => {
            assert!(*n == tokens + 1 || *n == tokens, "in order");
            tokens = *n;
            None
        }
        Event::Finished { id: 2, stats, .. } => Some(stats.clone()),
        _ => None,
    });
    assert_eq!((stats.generated_tokens, tokens), (12, 12));
    assert!(stats.prompt_tokens > 5 && stats.reused_tokens == 0);
    assert!(stats.decode_tokens_per_second > 0.0 && stats.first_token_ms > 0.0);
    assert!((0.0..=1.0).contains(&stats.hit_rate));
}

/// Tokens of each of these prompts.
fn counted(host: &Host, events: &Receiver<Event>, prompts: Vec<Prompt>) -> Vec<usize> {
    host.send(Command::Count { id: 77, prompts });
    until(events, |e| match e {
        Event::Counted { id: 77, tokens } => Some(tokens.clone()),
        _ => None,
    })
}

fn continued(answer: &str, continue_answer: bool) -> Prompt {
    Prompt::Chat {
        messages: vec![
            Message::new("user", "What is 2+2?"),
            Message::new("assistant", answer),
        ],
        template: TemplateArguments {
            continue_answer,
            ..TemplateArguments::default()
        },
    }
}

#[test]
fn prompts_are_counted_as_they_are_read() {
    let (host, events) = loaded(MemorySettings::default());
    let question = || Prompt::chat(vec![Message::new("user", "What is 2+2?")]);
    let raw = |text: &str| Prompt::Raw { text: text.into() };
    let tokens = counted(
        &host,
        &events,
        vec![question(), raw(""), raw("What is 2+2?")],
    );
    assert!(tokens[1] == 0 && tokens[0] > tokens[2], "{tokens:?}");
    host.send(Command::Generate {
        id: 2,
        request: long_answer(1),
    });
    let read = until(&events, |e| match e {
        Event::Finished { id: 2, stats, .. } => Some(stats.prompt_tokens),
        _ => None,
    });
    assert_eq!(tokens[0], read);
}

/// An answer that goes on is the prompt with the text so far, and no end of a turn.
#[test]
fn an_answer_goes_on_where_it_ended() {
    let (host, events) = loaded(MemorySettings::default());
    let question = Prompt::chat(vec![Message::new("user", "What is 2+2?")]);
    let begun = "The answer is";
    let prompts = vec![
        question,
        Prompt::Raw { text: begun.into() },
        continued(begun, true),
        continued(begun, false),
    ];
    let tokens = counted(&host, &events, prompts);
    assert_eq!(tokens[2], tokens[0] + tokens[1]);
    assert!(
        tokens[3] > tokens[2],
        "a whole turn ends, and another opens"
    );
    host.send(Command::Generate {
        id: 2,
        request: GenerateRequest {
            prompt: continued(begun, true),
            ..long_answer(4)
        },
    });
    assert_eq!(finish(&events, 2), (FinishReason::MaxTokens, 4));
}

#[test]
fn without_a_model_nothing_is_counted() {
    let (host, events) = Host::with_channel();
    host.send(Command::Count {
        id: 5,
        prompts: vec![],
    });
    assert!(matches!(next(&events), Event::Ready { .. }));
    assert!(matches!(next(&events), Event::Failed { id: Some(5), .. }));
}

#[test]
fn settings_act_between_two_tokens() {
    let memory = MemorySettings {
        cached_experts_per_layer: Some(2),
        ..MemorySettings::default()
    };
    let (host, events) = loaded(memory);
    host.send(Command::Watch { hz: 20.0 });
    host.send(Command::Generate {
        id: 2,
        request: long_answer(4000),
    });
    until(&events, |e| {
        matches!(e, Event::Token { tokens, .. } if *tokens > 5).then_some(())
    });
    let memory = MemorySettings {
        cached_experts_per_layer: Some(6),
        ..MemorySettings::default()
    };
    host.send(Command::Configure { id: 3, memory });
    let mut applied = false;
    // The new slots fill while the same answer goes on.
    until(&events, |e| match e {
        Event::Configured { id: 3, placement } => {
            assert_eq!(placement.experts_per_layer, 6);
            applied = true;
            None
        }
        Event::Snapshot { snapshot } if applied => {
            assert!(snapshot.generating);
            let more = snapshot
                .layers
                .iter()
                .all(|l| l.slots == 6 && l.resident > 2);
            more.then_some(())
        }
        Event::Finished { .. } => panic!("the answer ended before the slider acted"),
        _ => None,
    });
    host.send(Command::Cancel { id: 2 });
    assert_eq!(finish(&events, 2).0, FinishReason::Cancelled);
}

#[test]
fn a_context_shorter_than_the_answer_is_refused() {
    let (host, events) = loaded(MemorySettings::default());
    host.send(Command::Generate {
        id: 2,
        request: long_answer(4000),
    });
    until(&events, |e| {
        matches!(e, Event::Token { tokens, .. } if *tokens > 280).then_some(())
    });
    let memory = MemorySettings {
        context: Some(256),
        ..MemorySettings::default()
    };
    host.send(Command::Configure {
        id: 3,
        memory: memory.clone(),
    });
    let refused = loop {
        if let Event::Failed { id, failure } = next(&events) {
            assert_eq!(id, Some(3));
            break failure;
        }
    };
    assert_eq!(refused.kind, FailureKind::Memory);
    assert!(refused.message.contains("Stop it first"), "{refused:?}");
    host.send(Command::Cancel { id: 2 });
    assert_eq!(finish(&events, 2).0, FinishReason::Cancelled);
    host.send(Command::Configure { id: 4, memory });
    let context = until(&events, |e| match e {
        Event::Configured { id: 4, placement } => Some(placement.context),
        _ => None,
    });
    assert_eq!(context, 256);
    host.send(Command::Generate {
        id: 5,
        request: long_answer(4000),
    });
    let (reason, tokens) = finish(&events, 5);
    assert!(
        reason == FinishReason::ContextFull && tokens < 256,
        "{reason:?}"
    );
}

#[test]
fn cancelling_keeps_the_engine_usable() {
    let (host, events) = loaded(MemorySettings::default());
    host.send(Command::Generate {
        id: 2,
        request: long_answer(100_000),
    });
    until(&events, |e| matches!(e, Event::Token { .. }).then_some(()));
    host.send(Command::Cancel { id: 2 });
    let (reason, tokens) = finish(&events, 2);
    assert_eq!(reason, FinishReason::Cancelled);
    assert!(tokens < 3000);
    host.send(Command::Generate {
        id: 3,
        request: long_answer(3),
    });
    assert_eq!(finish(&events, 3), (FinishReason::MaxTokens, 3));
}

#[test]
fn a_prompt_is_cancelled_while_it_is_read() {
    let (host, events) = loaded(MemorySettings {
        context: Some(100_000),
        ..Default::default()
    });
    let ids = (0..60_000).map(|i| i % 1900).collect();
    let request = GenerateRequest {
        prompt: Prompt::Tokens { ids },
        ..long_answer(5)
    };
    host.send(Command::Generate { id: 2, request });
    until(&events, |e| {
        matches!(e, Event::PrefillProgress { .. }).then_some(())
    });
    host.send(Command::Cancel { id: 2 });
    assert_eq!(finish(&events, 2), (FinishReason::Cancelled, 0));
}

#[test]
fn what_cannot_be_done_is_said_and_nothing_is_lost() {
    let (host, events) = loaded(MemorySettings::default());
    let failure = |events: &Receiver<Event>, of: u64| loop {
        if let Event::Failed {
            id: Some(id),
            failure,
        } = next(events)
            && id == of
        {
            return failure;
        }
    };
    let mut request = long_answer(5);
    request.sampling.top_p = Some(f32::NAN);
    host.send(Command::Generate { id: 2, request });
    let said = failure(&events, 2);
    assert!(
        said.kind == FailureKind::Request && said.message.contains("top_p"),
        "{said:?}"
    );

    let ids = vec![3; 1_000_000];
    let request = GenerateRequest {
        prompt: Prompt::Tokens { ids },
        ..long_answer(5)
    };
    host.send(Command::Generate { id: 3, request });
    assert!(failure(&events, 3).message.contains("context"));

    let memory = MemorySettings {
        ram_budget: Some(1),
        ..MemorySettings::default()
    };
    host.send(Command::Configure { id: 4, memory });
    assert_eq!(failure(&events, 4).kind, FailureKind::Memory);

    host.send(Command::Generate {
        id: 5,
        request: long_answer(3),
    });
    assert_eq!(finish(&events, 5).1, 3, "still there");

    let request = LoadRequest {
        model: "/nowhere/model.gguf".into(),
        ..LoadRequest::default()
    };
    host.send(Command::Load { id: 6, request });
    let said = failure(&events, 6);
    assert!(
        said.kind == FailureKind::Checkpoint && said.message.contains("/nowhere"),
        "{said:?}"
    );
    host.send(Command::Generate {
        id: 7,
        request: long_answer(3),
    });
    assert!(failure(&events, 7).message.contains("no model is loaded"));
}

/// The model's file is cut while an answer needs experts from it: that answer fails
/// with its name, and the same engine loads another model and goes on.
#[test]
fn a_cut_file_ends_the_answer_and_not_the_engine() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("model.gguf");
    std::fs::copy(fixture("gguf/qwen3_next-tiny.gguf"), &copy).unwrap();
    let memory = MemorySettings {
        cached_experts_per_layer: Some(1),
        ..MemorySettings::default()
    };
    let (host, events) = loaded(MemorySettings::default());
    let request = LoadRequest {
        model: copy.clone(),
        memory,
        threads: Some(1),
        quantize: None,
    };
    host.send(Command::Load { id: 2, request });
    until(&events, |e| {
        matches!(e, Event::Loaded { id: 2, .. }).then_some(())
    });

    // Its name may go: the open file is still whole.
    std::fs::remove_file(&copy).unwrap();
    host.send(Command::Generate {
        id: 3,
        request: long_answer(4),
    });
    assert_eq!(finish(&events, 3).1, 4);

    std::fs::copy(fixture("gguf/qwen3_next-tiny.gguf"), &copy).unwrap();
    let request = LoadRequest {
        model: copy.clone(),
        memory: MemorySettings {
            cached_experts_per_layer: Some(1),
            ..MemorySettings::default()
        },
        threads: Some(1),
        quantize: None,
    };
    host.send(Command::Load { id: 4, request });
    until(&events, |e| {
        matches!(e, Event::Loaded { id: 4, .. }).then_some(())
    });
    host.send(Command::Generate {
        id: 5,
        request: long_answer(100_000),
    });
    until(&events, |e| {
        matches!(e, Event::Token { id: 5, .. }).then_some(())
    });
    let file = std::fs::OpenOptions::new().write(true).open(&copy).unwrap();
    file.set_len(file.metadata().unwrap().len() / 3).unwrap();
    let failure = loop {
        if let Event::Failed {
            id: Some(5),
            failure,
        } = next(&events)
        {
            break failure;
        }
    };
    assert_eq!(failure.kind, FailureKind::Disk);
    assert!(
        failure.message.contains("model.gguf"),
        "{}",
        failure.message
    );

    let request = LoadRequest {
        model: fixture("gguf/qwen3_next-tiny.gguf"),
        ..LoadRequest::default()
    };
    host.send(Command::Load { id: 6, request });
    until(&events, |e| {
        matches!(e, Event::Loaded { id: 6, .. }).then_some(())
    });
    host.send(Command::Generate {
        id: 7,
        request: long_answer(3),
    });
    assert_eq!(finish(&events, 7).1, 3);
}

#[test]
fn a_host_ends_in_the_middle_of_an_answer() {
    let (host, events) = loaded(MemorySettings::default());
    host.send(Command::Generate {
        id: 2,
        request: long_answer(100_000),
    });
    until(&events, |e| matches!(e, Event::Token { .. }).then_some(()));
    host.send(Command::Shutdown);
    assert!(host.wait(), "it ends, and not by a fault");
}

/// Nobody waits for the answers of an engine that has come to its end by a fault.
#[test]
fn a_fault_lets_go_of_those_who_wait() {
    let host = Host::start(Folders::default(), |event| {
        assert!(
            !matches!(event, Event::Unloaded { .. }),
            "a fault on the engine's thread"
        );
    });
    let remote = host.remote();
    host.send(Command::Unload { id: 1 });
    let (sender, answers) = std::sync::mpsc::channel();
    let listener: moestro_engine::Listener =
        std::sync::Arc::new(move |event| drop(sender.send(event)));
    let asked = remote.ask(|id| Command::Look { id }, listener);
    let heard = answers.recv_timeout(Duration::from_secs(120));
    let let_go = heard == Err(std::sync::mpsc::RecvTimeoutError::Disconnected);
    assert!(let_go || asked.is_none(), "{heard:?}");
    assert!(!host.wait(), "it ended by a fault");
    assert!(!remote.send(Command::Watch { hz: 1.0 }));
}
