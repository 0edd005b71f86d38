import type { ForecastPoint } from '../bindings/ForecastPoint';

/** Tokens per second at `value`, on the line between the points around it; null without points. */
export function speedAt(points: readonly ForecastPoint[], value: number): number | null {
  const first = points[0];
  const last = points.at(-1);
  if (!first || !last) return null;
  const held = Math.min(Math.max(value, first.value), last.value);
  const after = points.findIndex((point) => point.value >= held);
  const b = points[after] ?? last;
  const a = points[after - 1];
  if (!a || b.value === a.value) return b.tokens_per_second;
  const share = (held - a.value) / (b.value - a.value);
  return a.tokens_per_second + share * (b.tokens_per_second - a.tokens_per_second);
}

export interface Plot {
  line: string;
  x: (value: number) => number;
  y: (speed: number) => number;
}

/** The curve of `points` over a slider from `min` to `max`, in a box of `width` x `height`. */
export function plot(
  points: readonly ForecastPoint[],
  min: number,
  max: number,
  width: number,
  height: number,
): Plot {
  const top = Math.max(...points.map((point) => point.tokens_per_second), 0);
  const span = Math.max(max - min, 1);
  const x = (value: number) => ((Math.min(Math.max(value, min), max) - min) / span) * width;
  // From zero, so that a small gain looks small.
  const y = (speed: number) => height - (top > 0 ? speed / (top * 1.08) : 0) * height;
  const at = (point: ForecastPoint) =>
    `${x(point.value).toFixed(1)} ${y(point.tokens_per_second).toFixed(1)}`;
  return { line: points.length > 0 ? `M ${points.map(at).join(' L ')}` : '', x, y };
}
