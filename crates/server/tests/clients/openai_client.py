"""The official openai package against a running server: its address is the argument."""

import json
import sys

import openai

client = openai.OpenAI(base_url=f"{sys.argv[1]}/v1", api_key="unused", max_retries=0, timeout=120)
model = client.models.list().data[0].id
hello = [{"role": "user", "content": "What is 2+2?"}]


def check(what, fine):
    if not fine:
        sys.exit(f"wrong: {what}")


# Chat, whole and as a stream.
whole = client.chat.completions.create(model=model, messages=hello, temperature=0, max_tokens=30)
text = whole.choices[0].message.content
check("the answer", "4" in text and whole.usage.completion_tokens > 0)
stream = client.chat.completions.create(
    model=model, messages=hello, temperature=0, max_completion_tokens=30, stream=True,
    stream_options={"include_usage": True},
)
pieces, usage = [], None
for chunk in stream:
    usage = chunk.usage or usage
    pieces += [c.delta.content for c in chunk.choices if c.delta.content]
check("the stream", "".join(pieces) == text and usage.prompt_tokens == whole.usage.prompt_tokens)

# Several choices, seeds, stop.
several = client.chat.completions.create(
    model=model, messages=hello, n=3, seed=5, temperature=1.2, max_tokens=8, stop=["!"],
)
check("three choices", len(several.choices) == 3)

# Probabilities.
told = client.chat.completions.create(
    model=model, messages=hello, temperature=0, max_tokens=5, logprobs=True, top_logprobs=2,
)
content = told.choices[0].logprobs.content
check("logprobs", all(t.logprob <= 0 and len(t.top_logprobs) == 2 for t in content))

# A schema.
schema = {
    "type": "object", "additionalProperties": False, "required": ["sum"],
    "properties": {"sum": {"type": "integer", "minimum": 0, "maximum": 9}},
}
formed = client.chat.completions.create(
    model=model, messages=hello, max_tokens=60,
    response_format={"type": "json_schema", "json_schema": {"name": "sum", "schema": schema}},
)
check("the schema", 0 <= json.loads(formed.choices[0].message.content)["sum"] <= 9)

# Tools, whole and as a stream.
tools = [{"type": "function", "function": {"name": "add", "parameters": {
    "type": "object", "additionalProperties": False, "required": ["a", "b"],
    "properties": {"a": {"type": "integer", "maximum": 99, "minimum": 0},
                   "b": {"type": "integer", "maximum": 99, "minimum": 0}}}}}]
options = dict(model=model, messages=hello, tools=tools, tool_choice="required", max_tokens=99,
               temperature=0, parallel_tool_calls=False)
called = client.chat.completions.create(**options).choices[0]
call = called.message.tool_calls[0]
check("the call", called.finish_reason == "tool_calls" and call.function.name == "add")
arguments = json.loads(call.function.arguments)
check("the arguments", set(arguments) == {"a", "b"})
with client.chat.completions.stream(**options) as stream:
    final = stream.get_final_completion().choices[0]
check("the streamed call", json.loads(final.message.tool_calls[0].function.arguments) == arguments)
result = hello + [
    {"role": "assistant", "content": None, "tool_calls": [call.model_dump()]},
    {"role": "tool", "tool_call_id": call.id, "content": "4"},
]
after = client.chat.completions.create(model=model, messages=result, max_tokens=8)
check("the turn after", after.choices[0].message.content is not None)

# Texts and responses.
texts = client.completions.create(model=model, prompt="one two", echo=True, max_tokens=4)
check("echo", texts.choices[0].text.startswith("one two"))
response = client.responses.create(model=model, input="What is 2+2?", temperature=0,
                                   max_output_tokens=30)
check("the response", response.output_text == text and response.status == "completed")
with client.responses.stream(model=model, input="What is 2+2?", temperature=0,
                             max_output_tokens=30) as stream:
    response = stream.get_final_response()
check("the streamed response", response.output_text == text)

# As agents and editors send it.
parts = [{"type": "text", "text": "Be short.", "cache_control": {"type": "ephemeral"}}]
agent = client.chat.completions.create(
    model=model, max_tokens=-1, temperature=0, reasoning_effort="none", store=False, top_p=1,
    metadata={"from": "a test"}, tools=tools, tool_choice="none", stop=None, n=None,
    service_tier="auto", prompt_cache_key="a", safety_identifier="b",
    messages=[{"role": "developer", "content": parts},
              {"role": "user", "content": [{"type": "text", "text": "What is 2+2?"}], "name": "me"}],
)
check("an agent's answer", agent.choices[0].finish_reason == "stop")
response = client.responses.create(
    model=model, instructions="Be short.", max_output_tokens=30, temperature=0, store=False,
    reasoning={"effort": "low", "summary": "auto"}, include=["reasoning.encrypted_content"],
    parallel_tool_calls=False,
    tools=[{"type": "web_search"}, {"type": "function", **tools[0]["function"]}],
    input=[
        {"type": "message", "role": "user",
         "content": [{"type": "input_text", "text": "What is 2+2?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "call_id": "c", "name": "add",
         "arguments": "{\"a\": 2, \"b\": 2}"},
        {"type": "function_call_output", "call_id": "c", "output": "4"},
    ],
)
check("an agent's response", response.status in ("completed", "incomplete"))
check("its tools", [tool.type for tool in response.tools] == ["function"])

# Errors.
try:
    client.chat.completions.create(model=model, messages=hello, temperature=99)
    sys.exit("wrong: a temperature of 99 was accepted")
except openai.BadRequestError as error:
    check("the error", "temperature" in error.message and error.type == "invalid_request_error")
try:
    client.models.retrieve("no/such-model")
    sys.exit("wrong: an unknown model was found")
except openai.NotFoundError as error:
    check("the error", error.code == "model_not_found")

# Leaving in the middle.
left = client.chat.completions.create(model=model, messages=hello, temperature=5, max_tokens=4000,
                                      stream=True, logit_bias={str(i): -100 for i in range(1250, 1280)})
for number, _ in enumerate(left):
    if number == 5:
        break
left.close()
print("fine")
