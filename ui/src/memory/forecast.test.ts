import { expect, test } from 'vitest';
import type { ForecastPoint } from '../bindings/ForecastPoint';
import { plot, speedAt } from './forecast';

const point = (value: number, tokens_per_second: number): ForecastPoint => ({
  value,
  tokens_per_second,
  slots: value,
  hit_rate: 0.5,
});
const points = [point(10, 4), point(20, 8), point(40, 10)];

test('between two points lies the line, beyond the ends the end', () => {
  expect([0, 10, 15, 20, 30, 99].map((value) => speedAt(points, value))).toEqual([4, 4, 6, 8, 9, 10]);
  expect(speedAt([], 5)).toBeNull();
});

test('the curve spans the slider and starts at zero', () => {
  const { line, x, y } = plot(points, 0, 40, 200, 54);
  expect(line.startsWith('M 50.0')).toBe(true);
  expect(line.split('L')).toHaveLength(3);
  expect([x(-5), x(20), x(99)]).toEqual([0, 100, 200]);
  expect(y(0)).toBe(54);
  expect(y(10)).toBeCloseTo(4);
});
