import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { RequestSeen } from '../bindings/RequestSeen';
import type { AppState } from '../state/app.svelte';
import { recordedApp } from '../testing/app';
import type { Recorder } from '../testing/recorded';
import { examples } from './examples';

let api: Recorder;
let app: AppState;

beforeEach(() => {
  vi.useFakeTimers();
  ({ api, app } = recordedApp());
});
afterEach(() => vi.useRealTimers());

const serving = { type: 'serving', url: 'http://127.0.0.1:8000' } as const;

function seen(number: number, patch: Partial<RequestSeen> = {}): RequestSeen {
  return {
    number,
    at: 1000 + number,
    method: 'POST',
    path: '/v1/chat/completions',
    status: 0,
    prompt_tokens: 0,
    reused_tokens: 0,
    generated_tokens: 0,
    first_token_ms: 0,
    took_ms: 0,
    done: false,
    ...patch,
  };
}

test('the server is off until it is switched on, and then at every start', async () => {
  await app.begin();
  expect(api.apiCommands).toEqual([]);
  await app.server.turn(true);
  expect(api.apiCommands).toEqual([{ type: 'serve', settings: app.settings.value.api }]);
  expect(app.server.changing).toBe(true);
  api.play({ type: 'api', event: serving });
  expect([app.server.url, app.server.changing]).toEqual([serving.url, false]);

  api.exit();
  expect(app.server.url).toBeNull();
  api.ready();
  expect(api.apiCommands).toHaveLength(2);

  await app.server.turn(false);
  expect(api.apiCommands.at(-1)).toEqual({ type: 'stop_serving' });
  api.play({ type: 'api', event: { type: 'not_serving', problem: null } });
  expect([app.server.url, app.server.problem]).toEqual([null, null]);
});

test('why it did not start is said', async () => {
  await app.begin();
  await app.server.turn(true);
  api.play({ type: 'api', event: { type: 'not_serving', problem: 'the port is taken' } });
  expect([app.server.problem, app.server.changing]).toEqual(['the port is taken', false]);
  api.refusal = 'the engine is not running';
  await app.server.apply();
  expect(app.server.problem).toContain('not running');
});

test('requests are listed once, newest first, and cleared when done', async () => {
  await app.begin();
  const tell = (request: RequestSeen) => api.play({ type: 'api', event: { type: 'request_seen', request } });
  tell(seen(1));
  tell(seen(2));
  tell(seen(1, { status: 200, generated_tokens: 5, done: true }));
  expect(app.server.requests.map((r) => [r.number, r.status])).toEqual([
    [2, 0],
    [1, 200],
  ]);
  app.server.clear();
  expect(app.server.requests.map((r) => r.number)).toEqual([2]);
});

test('examples name the address and never the key itself', () => {
  for (const example of examples('http://127.0.0.1:9', true)) {
    expect(example.code).toContain('http://127.0.0.1:9');
    expect(example.code).toContain('YOUR-KEY');
  }
});
