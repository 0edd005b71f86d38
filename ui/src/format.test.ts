import { describe, expect, test } from 'vitest';
import * as format from './format';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

describe('bytes', () => {
  test.each([
    [0, '0 B'],
    [1023, '1,023 B'],
    [1024, '1 KiB'],
    [5.25 * MIB, '5.3 MiB'],
    [99.94 * MIB, '99.9 MiB'],
    [99.96 * MIB, '100 MiB'],
    [900 * MIB, '900 MiB'],
    [1023.9 * MIB, '1.00 GiB'],
    [1.5 * GIB, '1.50 GiB'],
    [10.24 * GIB, '10.2 GiB'],
    [120.6 * GIB, '121 GiB'],
    [Number.NaN, '–'],
  ])('%d is %s', (value, shown) => expect(format.bytes(value)).toBe(shown));
});

test('numbers are grouped, and have a real minus', () => {
  expect(format.number(24_576)).toBe('24,576');
  expect(format.number(-2)).toBe('−2');
  expect(format.number(1.005, 1)).toBe('1');
  expect(format.number(1, 1, 1)).toBe('1.0');
});

test('shares', () => {
  expect(format.percent(0)).toBe('0%');
  expect(format.percent(0.0345)).toBe('3.5%');
  expect(format.percent(0.874)).toBe('87%');
  expect(format.percent(1)).toBe('100%');
  expect(format.percent(0 / 0)).toBe('–');
});

test('durations', () => {
  expect(format.duration(0.4)).toBe('0.4 ms');
  expect(format.duration(112)).toBe('112 ms');
  expect(format.duration(1500)).toBe('1.5 s');
  expect(format.duration(59_900)).toBe('59.9 s');
  expect(format.duration(119_999)).toBe('2 min 0 s');
});

test('rates and counts carry their unit', () => {
  expect(format.rate(34.5)).toBe('34.5 tokens/s');
  expect(format.rate(1234)).toBe('1,234 tokens/s');
  expect(format.tokens(1)).toBe('1 token');
  expect(format.tokens(2000)).toBe('2,000 tokens');
  expect(format.parameters(79_700_000_000)).toBe('79.7 billion');
  expect(format.parameters(18_432_512)).toBe('18.4 million');
});

test('the unit for typing follows the size', () => {
  expect(format.byteUnit(1.9 * GIB).name).toBe('MiB');
  expect(format.byteUnit(2 * GIB).name).toBe('GiB');
});
