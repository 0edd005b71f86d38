import { expect, test } from 'vitest';
import { snapshot } from '../testing/recorded';
import { History } from './history.svelte';

test('keeps two minutes, at no more points than can be seen', () => {
  const history = new History();
  for (let time = 0; time <= 300_000; time += 100) {
    history.add(snapshot(time, { generating: true, tokens_per_second: time, hit_rate: 0.5 }));
  }
  expect(history.times.at(-1)).toBe(300);
  expect(history.times[0]).toBe(180);
  expect(history.times).toHaveLength(601);
  expect(history.speed).toHaveLength(601);
  expect(history.hitRate).toHaveLength(601);
});

test('the hit rate has gaps where nothing was generated', () => {
  const history = new History();
  history.add(snapshot(0, { generating: true, hit_rate: 0.7 }));
  history.add(snapshot(1000, { generating: false, hit_rate: 0.7 }));
  expect(history.hitRate).toEqual([0.7, null]);
});

test('a new engine, whose clock begins anew, begins a new history', () => {
  const history = new History();
  history.add(snapshot(90_000));
  history.add(snapshot(100));
  expect(history.times).toEqual([0.1]);
});
