"""The official anthropic package against a running server: its address is the argument."""

import sys

import anthropic

client = anthropic.Anthropic(base_url=sys.argv[1], api_key="unused", max_retries=0, timeout=120)
hello = [{"role": "user", "content": "What is 2+2?"}]


def check(what, fine):
    if not fine:
        sys.exit(f"wrong: {what}")


whole = client.messages.create(model="any", max_tokens=30, messages=hello,
                               extra_body={"temperature": 0})
text = whole.content[0].text
check("the answer", "4" in text and whole.stop_reason == "end_turn")
check("usage", whole.usage.output_tokens > 0)
with client.messages.stream(model="any", max_tokens=30, messages=hello,
                            extra_body={"temperature": 0}) as stream:
    pieces = list(stream.text_stream)
    final = stream.get_final_message()
check("the stream", "".join(pieces) == text and final.content[0].text == text)

stopped = client.messages.create(model="any", max_tokens=30, messages=hello,
                                 stop_sequences=[text[0]], extra_body={"temperature": 0})
check("the stop", stopped.stop_reason == "stop_sequence" and stopped.stop_sequence == text[0])

tools = [{"name": "add", "description": "Adds", "input_schema": {
    "type": "object", "additionalProperties": False, "required": ["a"],
    "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 99}}}}]
choice = {"type": "any", "disable_parallel_tool_use": True}
called = client.messages.create(model="any", max_tokens=99, messages=hello, tools=tools,
                                tool_choice=choice)
use = called.content[0]
check("the call", called.stop_reason == "tool_use" and use.name == "add" and "a" in use.input)
with client.messages.stream(model="any", max_tokens=99, messages=hello, tools=tools,
                            tool_choice=choice) as stream:
    final = stream.get_final_message()
check("the streamed call", "a" in final.content[0].input)
turn = hello + [
    {"role": "assistant", "content": [use.model_dump()]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "4"}]},
]
after = client.messages.create(model="any", max_tokens=8, messages=turn, system="Be short.")
check("the turn after", after.content[0].type == "text")

# As agents send it: marked for a cache, with thinking, with tools that Anthropic runs.
agent = dict(
    model="any",
    system=[{"type": "text", "text": "Be short.", "cache_control": {"type": "ephemeral"}}],
    messages=[
        {"role": "user", "content": [
            {"type": "text", "text": "What is 2+2?", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Add.", "signature": ""}, use.model_dump()]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": use.id, "is_error": False,
             "content": [{"type": "text", "text": "4"}]},
            {"type": "text", "text": "So?"}]},
    ],
    tools=tools + [{"type": "web_search_20250305", "name": "web_search"}],
)
counted = client.messages.count_tokens(**agent)
usage = client.messages.create(max_tokens=8, **agent).usage
check("the count", counted.input_tokens == usage.input_tokens + usage.cache_read_input_tokens)
models = client.models.list()
check("the models", len(models.data) == 1 and models.data[0].type == "model")
check("one model", client.models.retrieve(models.data[0].id).created_at.year >= 2024)

try:
    picture = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    client.messages.create(model="any", max_tokens=8, messages=[
        {"role": "user", "content": [{"type": "image", "source": picture}]}])
    sys.exit("wrong: a picture was accepted")
except anthropic.BadRequestError as error:
    check("the picture's error", "pictures" in error.body["error"]["message"])
try:
    client.messages.create(model="any", max_tokens=8, messages=[])
    sys.exit("wrong: no message was accepted")
except anthropic.BadRequestError as error:
    check("the error", error.body["error"]["type"] == "invalid_request_error")
print("fine")
