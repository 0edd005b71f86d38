import { afterEach, expect, test, vi } from 'vitest';

const real = navigator.language;

afterEach(() => {
  Object.defineProperty(navigator, 'language', { configurable: true, get: () => real });
  vi.resetModules();
});

// WebKitGTK says "C" when LANG is C or not set.
test.each(['C', 'POSIX', ''])('the language %j does not break the formats', async (language) => {
  vi.resetModules();
  Object.defineProperty(navigator, 'language', { configurable: true, get: () => language });
  const format = await import('./format');
  expect(format.number(1234.5, 1)).toBe('1,234.5');
  // Libraries read it for themselves.
  expect(() => new Intl.NumberFormat(navigator.language)).not.toThrow();
});
