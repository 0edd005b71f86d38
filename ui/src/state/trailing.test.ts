import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Trailing } from './trailing';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

test('many calls are few runs, and the last call is always followed by one', () => {
  let value = 0;
  const seen: number[] = [];
  const trailing = new Trailing(100, () => seen.push(value));
  for (value = 1; value <= 25; value += 1) {
    trailing.call();
    vi.advanceTimersByTime(10);
  }
  vi.advanceTimersByTime(1000);
  expect(seen).toEqual([10, 20, 26]);
  expect(trailing.waiting).toBe(false);
});

test('what is called off does not run', () => {
  const action = vi.fn();
  const trailing = new Trailing(100, action);
  trailing.call();
  trailing.cancel();
  vi.advanceTimersByTime(1000);
  expect(action).not.toHaveBeenCalled();
});
