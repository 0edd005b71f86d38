import type { SamplingOverrides } from '../bindings/SamplingOverrides';
import { text } from '../text';

export type SamplingName = keyof SamplingOverrides;

interface Range {
  name: SamplingName;
  min: number;
  max: number;
  step: number;
}

/** What the engine accepts, in the order of the page. */
export const samplingRanges: readonly Range[] = [
  { name: 'temperature', min: 0, max: 5, step: 0.05 },
  { name: 'top_p', min: 0, max: 1, step: 0.01 },
  { name: 'top_k', min: 0, max: 100_000, step: 1 },
  { name: 'min_p', min: 0, max: 1, step: 0.01 },
  { name: 'repetition_penalty', min: 0.1, max: 5, step: 0.05 },
  { name: 'presence_penalty', min: -2, max: 2, step: 0.05 },
  { name: 'frequency_penalty', min: -2, max: 2, step: 0.05 },
  { name: 'seed', min: 0, max: Number.MAX_SAFE_INTEGER, step: 1 },
];

/** What holds where neither the person nor a chat has set a field. */
export function unset(name: SamplingName | 'max_tokens'): string {
  if (name === 'max_tokens') return text.settings.unlimited;
  return name === 'seed' ? text.settings.seedHint : text.settings.modelDefault;
}
