"""Writes `tokenizer_cases.json`: chat-template renderings and encode/decode cases, by transformers.

`chat`: {messages, template variables, expected text, ids}. `encode`: {text, ids, decoded, decoded_skip_special}.
"""

import json

from tokenizers import Tokenizer
from transformers import AutoTokenizer

from paths import FIXTURES, TOKENIZER

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city, e.g. <Köln> & \"Zürich\"",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}}, "required": ["city"]},
    },
}
CLOCK = {"type": "function", "function": {"name": "now", "description": "The time", "parameters": {"type": "object", "properties": {}}}}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def call(name, arguments):
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


THOUGHT = "<think>\nTwo and two.\n</think>\n\n4"
CHATS = [
    {"messages": [user("What is 2+2?")], "add_generation_prompt": True},
    {"messages": [{"role": "system", "content": "Be brief."}, user("Hi"), assistant("Hello!"), user("Ünïcode 你好 🙂\n\nnew line")],
     "add_generation_prompt": True},
    # thoughts of earlier turns are dropped, that of the last turn is kept
    {"messages": [user("2+2?"), assistant(THOUGHT), user("And 3+3?")], "add_generation_prompt": True},
    {"messages": [user("2+2?"), assistant(THOUGHT)], "add_generation_prompt": False},
    {"messages": [user("2+2?"), assistant("4", reasoning_content="Two and two.")], "add_generation_prompt": False},
    {"messages": [user("No thinking, please.")], "add_generation_prompt": True, "enable_thinking": False},
    # tools: a definition, calls with arguments as object and as text, two results in a row
    {"messages": [user("Weather in Paris?")], "tools": [WEATHER, CLOCK], "add_generation_prompt": True},
    {"messages": [
        {"role": "system", "content": "Use tools."}, user("Weather in Paris and Rome?"),
        assistant("", tool_calls=[call("get_weather", {"city": "Paris", "days": 2}), call("get_weather", '{"city": "Rome"}')]),
        {"role": "tool", "content": "sunny, 21 °C"}, {"role": "tool", "content": "{\"sky\": \"rain\"}"},
     ], "tools": [WEATHER], "add_generation_prompt": True},
    {"messages": [
        user("Time?"), assistant("I'll look.", tool_calls=[call("now", {})]), {"role": "tool", "content": "12:00"},
        assistant("It is noon."), user("Thanks 👍"),
     ], "tools": [CLOCK], "add_generation_prompt": True},
    {"messages": [user("  spaces kept  \n"), assistant("a\n\n"), {"role": "system", "content": "Later rule."}, user("<|im_end|> as text")],
     "add_generation_prompt": True},
]  # fmt: skip

TEXTS = [
    "", "Hello world", " ", "  leading and   multiple spaces  ", "tabs\tand\nnewlines\r\n\r\nend", "\n\n\n",
    "it's I'll WE'RE don't they'Ve", "1234567890 3.14 1e-5 ½ ٣", "naïve café e\u0301 (decomposed) \u212b", "你好，世界", "Привет, мир! שלום",
    "🙂👩‍👩‍👧‍👦🇫🇷", "<|im_start|>user\nhi<|im_end|>\n", "<think>x</think> <tool_call>{}</tool_call>", "<|im_start|><|im_start|> <|fim_pad|>",
    "def f(x):\n    return x+1  # comment", "!!!???...---", "\u00a0nbsp\u2003emspace\u3000", "a" * 50, "\x00\x7f control", "http://example.org/?a=1&b=2",
]  # fmt: skip


def main():
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
    plain = Tokenizer.from_file(str(TOKENIZER / "tokenizer.json"))

    def encode(text):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        if ids != plain.encode(text, add_special_tokens=False).ids:
            raise RuntimeError(f"transformers and tokenizers disagree on {text!r}")
        return ids

    chats = []
    for case in CHATS:
        variables = {k: v for k, v in case.items() if k != "messages"}
        text = tokenizer.apply_chat_template(case["messages"], tokenize=False, **variables)
        chats.append({**case, "expected": text, "ids": encode(text)})
    texts = []
    for text in TEXTS:
        ids = encode(text)
        texts.append({
            "text": text, "ids": ids,
            "decoded": plain.decode(ids, skip_special_tokens=False), "decoded_skip_special": plain.decode(ids),
        })  # fmt: skip
    out = json.dumps({"chat": chats, "encode": texts}, indent=1, ensure_ascii=False)
    (FIXTURES / "tokenizer_cases.json").write_text(out + "\n", encoding="utf-8")
    print(len(chats), "chats,", len(texts), "texts")


if __name__ == "__main__":
    main()
