// Every number the person sees goes through here, always with its unit.
import { locale } from './locale';

const KIB = 1024;
const MIB = KIB * 1024;
export const GIB = MIB * 1024;

const formats = new Map<number, Intl.NumberFormat>();

/** A number with at most `digits` (and at least `least`) decimals; '–' if it is not one. */
export function number(value: number, digits = 0, least = 0): string {
  if (!Number.isFinite(value)) return '–';
  const key = digits * 10 + least;
  let format = formats.get(key);
  if (!format) {
    format = new Intl.NumberFormat(locale, { maximumFractionDigits: digits, minimumFractionDigits: least });
    formats.set(key, format);
  }
  return format.format(value).replace('-', '−');
}

/** Bytes in the binary unit that leaves a readable number: `1.50 GiB`, `23.4 MiB`. */
export function bytes(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size >= 100 * GIB) return `${number(value / GIB, 0)} GiB`;
  if (size >= 10 * GIB) return `${number(value / GIB, 1, 1)} GiB`;
  if (size >= 0.995 * GIB) return `${number(value / GIB, 2, 2)} GiB`;
  if (size >= 99.95 * MIB) return `${number(value / MIB, 0)} MiB`;
  if (size >= 0.995 * MIB) return `${number(value / MIB, 1, 1)} MiB`;
  if (size >= KIB) return `${number(value / KIB, 0)} KiB`;
  return `${number(value, 0)} B`;
}

export interface ByteUnit {
  name: 'GiB' | 'MiB';
  size: number;
  digits: number;
}

/** The unit for typing sizes up to `most` bytes. */
export function byteUnit(most: number): ByteUnit {
  return most >= 2 * GIB ? { name: 'GiB', size: GIB, digits: 2 } : { name: 'MiB', size: MIB, digits: 1 };
}

/** A share between 0 and 1. */
export function percent(share: number): string {
  if (!Number.isFinite(share)) return '–';
  const value = share * 100;
  return `${number(value, value > 0 && value < 10 ? 1 : 0)}%`;
}

export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return '–';
  if (ms < 1000) return `${number(ms, ms < 10 ? 1 : 0)} ms`;
  if (ms < 60_000) return `${number(ms / 1000, ms < 10_000 ? 2 : 1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${number(Math.floor(seconds / 60))} min ${seconds % 60} s`;
}

export function rate(tokensPerSecond: number): string {
  if (!Number.isFinite(tokensPerSecond)) return '– tokens/s';
  return `${number(tokensPerSecond, tokensPerSecond < 100 ? 1 : 0, tokensPerSecond < 100 ? 1 : 0)} tokens/s`;
}

export function tokens(count: number): string {
  return `${number(count)} ${count === 1 ? 'token' : 'tokens'}`;
}

export function byteRate(bytesPerSecond: number): string {
  return `${bytes(bytesPerSecond)}/s`;
}

/** Counts of weights: `79.7 billion`, `6.1 million`. */
export function parameters(count: number): string {
  if (!Number.isFinite(count)) return '–';
  if (count >= 1e9) return `${number(count / 1e9, 1)} billion`;
  if (count >= 1e6) return `${number(count / 1e6, 1)} million`;
  return number(count);
}

/** A day, from seconds since 1970. */
export function day(seconds: number): string {
  return new Date(seconds * 1000).toLocaleDateString(locale, { dateStyle: 'medium' });
}
