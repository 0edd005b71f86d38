// Texts of the Settings page.
import * as format from '../format';

export const settings = {
  title: 'Settings',
  appearance: 'Appearance',
  theme: 'Theme',
  themes: { system: 'Like the system', light: 'Light', dark: 'Dark' },
  answers: 'Answers',
  answersLead: 'An empty field takes the value that the model recommends.',
  modelDefault: 'Model default',
  range: (low: string, high: string) => `${low} to ${high}`,
  outOfRange: (low: string, high: string) => `Must be between ${low} and ${high}.`,
  whole: 'Must be a whole number.',
  resetAll: 'Reset all',
  reset: (name: string) => `Reset ${name}`,
  systemPrompt: 'System prompt',
  systemPromptHelp: 'Goes before every chat. Leave it empty for none.',
  fields: {
    temperature: ['Temperature', 'Higher is more varied, 0 always takes the likeliest token.'],
    top_p: ['Top-p', 'Keeps the likeliest tokens that together reach this probability.'],
    top_k: ['Top-k', 'Keeps this many of the likeliest tokens, 0 keeps all.'],
    min_p: ['Min-p', 'Drops tokens less likely than this share of the likeliest.'],
    repetition_penalty: ['Repetition penalty', 'Above 1 makes tokens that were there less likely.'],
    presence_penalty: ['Presence penalty', 'Lowers tokens that occurred at all.'],
    frequency_penalty: ['Frequency penalty', 'Lowers tokens by how often they occurred.'],
    seed: ['Seed', 'The same seed gives the same answer. Empty picks one each time.'],
    max_tokens: ['Most tokens per answer', 'Empty writes until the model ends or the context is full.'],
  },
  seedHint: 'Random',
  unlimited: 'No limit',
  engine: 'Engine',
  threads: ['Threads', 'Takes effect when a model is loaded next.'],
  threadsHint: (cores: number) => `${format.number(cores)} (all cores)`,
  loadOnStart: 'Load the last model when Moestro starts',
  about: 'About',
  version: 'Version',
  cpu: 'Processor',
  cores: 'Cores',
  coresValue: (physical: number, logical: number) =>
    physical === logical
      ? format.number(physical)
      : `${format.number(physical)}, ${format.number(logical)} threads`,
  features: 'Instruction sets',
  kernels: 'Kernels run with',
  ram: 'RAM',
  ramValue: (total: number, free: number) =>
    `${format.bytes(total)}, ${format.bytes(free)} were free at the start`,
  gpu: 'GPU',
  gpuValue: (name: string, total: number) => `${name}, ${format.bytes(total)}`,
  saveFailed: (reason: string) => `The settings could not be saved: ${reason}`,
  unknown: 'Not known yet: the engine is not running.',
} as const;
