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

try:
    client.messages.create(model="any", max_tokens=8, messages=[])
    sys.exit("wrong: no message was accepted")
except anthropic.BadRequestError as error:
    check("the error", error.body["error"]["type"] == "invalid_request_error")
print("fine")
