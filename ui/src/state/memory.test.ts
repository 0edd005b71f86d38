import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { MemorySettings } from '../bindings/MemorySettings';
import { info, placement, Recorder, snapshot } from '../testing/recorded';
import { EngineState } from './engine.svelte';
import { MemoryState } from './memory.svelte';
import { automaticMemory } from './settings.svelte';

let api: Recorder;
let memory: MemoryState;
let applied: MemorySettings[];

beforeEach(async () => {
  vi.useFakeTimers();
  api = new Recorder();
  applied = [];
  const engine = new EngineState(api);
  memory = new MemoryState(engine, (settings) => applied.push(settings));
  await api.subscribe((event) => memory.receive(event));
  api.tell({ type: 'loaded', id: 1, model: info, placement: placement() });
});
afterEach(() => vi.useRealTimers());

const configures = () => api.of('configure');
const answerLast = (experts: number) => {
  api.tell({
    type: 'configured',
    id: api.last('configure').id,
    placement: placement({ cached_experts_per_layer: experts }),
  });
};

test('a slider that moves sends few requests, one at a time, and its last position always', async () => {
  for (let position = 1; position <= 4; position += 1) {
    memory.want({ cached_experts_per_layer: position });
    await vi.advanceTimersByTimeAsync(40);
  }
  expect(memory.state).toBe('pending');
  expect(configures()).toHaveLength(1);
  expect(configures()[0]?.memory.cached_experts_per_layer).toBe(3);
  // The engine is busy with a token: nothing more is sent until it answers.
  await vi.advanceTimersByTimeAsync(1500);
  expect(configures()).toHaveLength(1);
  answerLast(3);
  expect(memory.state).toBe('pending');
  await vi.advanceTimersByTimeAsync(200);
  expect(configures().map((command) => command.memory.cached_experts_per_layer)).toEqual([3, 4]);
  answerLast(4);
  expect(memory.state).toBe('applied');
  expect(memory.placement?.experts_per_layer).toBe(4);
  expect(applied).toEqual([{ ...automaticMemory(), cached_experts_per_layer: 4 }]);
  await vi.advanceTimersByTimeAsync(5000);
  expect(configures()).toHaveLength(2);
});

test('an engine that does not answer gets the last position after a while', async () => {
  memory.want({ ram_budget: 6_000_000 });
  await vi.advanceTimersByTimeAsync(100);
  memory.want({ ram_budget: 7_000_000 });
  await vi.advanceTimersByTimeAsync(3200);
  expect(configures().map((command) => command.memory.ram_budget)).toEqual([6_000_000, 7_000_000]);
});

test('the other limits stay as they were, and automatic takes one back', async () => {
  memory.want({ ram_budget: 6_000_000 });
  memory.want({ cached_experts_per_layer: 2 });
  await vi.advanceTimersByTimeAsync(100);
  expect(api.last('configure').memory).toEqual({
    ...automaticMemory(),
    ram_budget: 6_000_000,
    cached_experts_per_layer: 2,
  });
  answerLast(2);
  memory.want({ ram_budget: null });
  await vi.advanceTimersByTimeAsync(100);
  expect(api.last('configure').memory).toEqual({ ...automaticMemory(), cached_experts_per_layer: 2 });
});

test('a refused change says why and goes back', async () => {
  memory.want({ ram_budget: 1 });
  await vi.advanceTimersByTimeAsync(100);
  const failure = { kind: 'memory' as const, message: 'the budget must be at least 5 MB' };
  api.tell({ type: 'failed', id: api.last('configure').id, failure });
  expect(memory.state).toBe('failed');
  expect(memory.failure).toBe(failure.message);
  expect(memory.wanted).toEqual(placement().settings);
  expect(applied).toEqual([]);

  api.refusal = 'the engine is not running';
  memory.want({ ram_budget: 6_000_000 });
  expect(memory.failure).toBeNull();
  await vi.advanceTimersByTimeAsync(100);
  expect(memory.failure).toBe('the engine is not running');
});

test('the end of the engine forgets everything of it, and what was waiting', async () => {
  api.tell({ type: 'snapshot', snapshot: snapshot(1000) });
  memory.want({ cached_experts_per_layer: 2 });
  api.exit();
  await vi.advanceTimersByTimeAsync(1000);
  expect(configures()).toHaveLength(0);
  expect(memory.placement).toBeNull();
  expect(memory.snapshot).toBeNull();
  expect(memory.state).toBe('applied');
  expect(memory.history.times).toHaveLength(0);
});

test('settings made elsewhere are taken over', () => {
  api.tell({ type: 'configured', id: 99, placement: placement({ cached_experts_per_layer: 2 }) });
  expect(memory.wanted.cached_experts_per_layer).toBe(2);
});
