/** Programs that ask the server, ready to be run. */
export interface Example {
  name: string;
  code: string;
}

export function examples(url: string, needsKey: boolean): Example[] {
  const key = needsKey ? 'YOUR-KEY' : 'unused';
  const header = needsKey ? `\n  -H "Authorization: Bearer ${key}" \\` : '';
  return [
    {
      name: 'curl',
      code: `curl ${url}/v1/chat/completions \\${header}
  -H "Content-Type: application/json" \\
  -d '{"messages": [{"role": "user", "content": "What is 2+2?"}]}'`,
    },
    {
      name: 'Python',
      code: `from openai import OpenAI

client = OpenAI(base_url="${url}/v1", api_key="${key}")
answer = client.chat.completions.create(
    model="moestro",
    messages=[{"role": "user", "content": "What is 2+2?"}],
)
print(answer.choices[0].message.content)`,
    },
    {
      name: 'Python, Anthropic',
      code: `from anthropic import Anthropic

client = Anthropic(base_url="${url}", api_key="${key}")
answer = client.messages.create(
    model="moestro",
    max_tokens=1000,
    messages=[{"role": "user", "content": "What is 2+2?"}],
)
print(answer.content[-1].text)`,
    },
    {
      name: 'JavaScript',
      code: `import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${url}/v1", apiKey: "${key}" });
const answer = await client.chat.completions.create({
  model: "moestro",
  messages: [{ role: "user", content: "What is 2+2?" }],
});
console.log(answer.choices[0].message.content);`,
    },
  ];
}

/** What the server offers, for the list of endpoints. */
export const endpoints: readonly { method: string; path: string; what: string }[] = [
  { method: 'POST', path: '/v1/chat/completions', what: 'OpenAI chat' },
  { method: 'POST', path: '/v1/completions', what: 'OpenAI completions' },
  { method: 'POST', path: '/v1/responses', what: 'OpenAI responses' },
  { method: 'GET', path: '/v1/models', what: 'The loaded model' },
  { method: 'POST', path: '/v1/messages', what: 'Anthropic messages' },
  { method: 'POST', path: '/v1/messages/count_tokens', what: 'Anthropic: tokens of a prompt' },
  { method: 'POST', path: '/api/v1/generate', what: 'Answers with figures, whole or line by line' },
  { method: 'POST', path: '/api/v1/generate/batch', what: 'Several prompts at once' },
  { method: 'GET', path: '/api/v1/stream', what: 'The same as a WebSocket' },
  { method: 'POST', path: '/api/v1/optimize', what: 'Change cache and budgets, live' },
  { method: 'GET', path: '/api/v1/model-info', what: 'What is loaded' },
  { method: 'GET', path: '/api/v1/memory', what: 'What is where' },
  { method: 'GET', path: '/api/v1/expert-stats', what: 'How the expert cache does' },
  { method: 'GET', path: '/api/v1/health', what: 'Is anybody there?' },
  { method: 'GET', path: '/metrics', what: 'Figures for Prometheus' },
  { method: 'GET', path: '/openapi.json', what: 'All of it, described' },
];
