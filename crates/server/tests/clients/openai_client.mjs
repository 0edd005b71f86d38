// The official openai package for JavaScript against a running server: its address
// is the argument.

import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: `${process.argv[2]}/v1`,
  apiKey: "unused",
  maxRetries: 0,
});
const messages = [{ role: "user", content: "What is 2+2?" }];
const options = { model: "any", messages, temperature: 0, max_tokens: 30 };

const whole = await client.chat.completions.create(options);
const text = whole.choices[0].message.content;
assert.match(text, /4/);

let streamed = "";
for await (const chunk of await client.chat.completions.create({ ...options, stream: true }))
  streamed += chunk.choices[0]?.delta.content ?? "";
assert.equal(streamed, text);

const tools = [
  {
    type: "function",
    function: {
      name: "add",
      parameters: {
        type: "object",
        properties: { a: { type: "integer", minimum: 0, maximum: 99 } },
        required: ["a"],
        additionalProperties: false,
      },
    },
  },
];
const called = await client.chat.completions.create({
  ...options,
  tools,
  max_tokens: 99,
  tool_choice: "required",
  parallel_tool_calls: false,
});
const call = called.choices[0].message.tool_calls[0].function;
assert.equal(call.name, "add");
assert.equal(typeof JSON.parse(call.arguments).a, "number");

const response = await client.responses.create({ model: "any", input: "What is 2+2?", temperature: 0 });
assert.match(response.output_text, /4/);

await assert.rejects(client.chat.completions.create({ ...options, n: 0 }), (error) => {
  assert.equal(error.status, 400);
  assert.equal(error.type, "invalid_request_error");
  return true;
});

const leave = new AbortController();
const stream = await client.chat.completions.create(
  { ...options, stream: true, max_tokens: 4000, temperature: 5 },
  { signal: leave.signal },
);
await assert.rejects(
  async () => {
    for await (const _ of stream) leave.abort();
    throw new Error("the stream ended by itself");
  },
  () => true,
);
console.log("fine");
