// Texts of the Models page that speak of the Hub and of downloads.
import type { Fit } from '../bindings/Fit';
import type { Phase } from '../bindings/Phase';
import type { TokenPlace } from '../bindings/TokenPlace';
import type { Verdict } from '../bindings/Verdict';
import * as format from '../format';

const fits: Record<Fit, string> = {
  memory: 'Fits in memory',
  with_disk: 'Runs with experts from disk',
  no: 'Does not fit',
};

/** 1 h 5 min, 3 min 20 s, 12 s. */
export function timeLeft(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  if (minutes >= 60) return `${format.number(Math.floor(minutes / 60))} h ${minutes % 60} min`;
  return minutes > 0 ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

/** What a verdict rests on, in one line. */
function assumed({ placement, bandwidth }: Verdict): string {
  const { settings, context, tiers } = placement;
  const origin = (own: unknown, automatic: string) => (own === null ? automatic : 'your limit');
  const budget = tiers.find((use) => use.tier === 'ram')?.budget ?? 0;
  const parts = [
    `a RAM budget of ${format.bytes(budget)} (${origin(settings.ram_budget, 'what is free now')})`,
    `${format.tokens(context)} of context (${origin(settings.context, 'automatic')})`,
  ];
  if (placement.experts_total > 0) {
    parts.push(`experts per layer: ${origin(settings.cached_experts_per_layer, 'as many as fit')}`);
  }
  if (bandwidth !== null) {
    const { memory, disk } = bandwidth;
    parts.push(
      `memory read at ${format.byteRate(memory)} and disk at ${format.byteRate(disk)}, as measured here`,
    );
  }
  return `Assumed: ${parts.join('; ')}; routing as published for such models.`;
}

export const hubText = {
  tabs: { label: 'Models', here: 'On this machine', find: 'Find models' },

  search: 'Search the Hugging Face Hub',
  searchHint: 'Qwen3 Next GGUF',
  searchButton: 'Search',
  searching: 'Searching…',
  suggestions: 'Made for Moestro',
  results: (count: number) => `${format.number(count)} ${count === 1 ? 'repository' : 'repositories'} found`,
  nothing: (words: string) => `Nothing was found for “${words}”. Try fewer or other words.`,
  back: 'Back to the list',
  downloads30: (count: number) => `${format.number(count)} downloads a month`,
  likes: (count: number) => `${format.number(count)} likes`,
  gated: 'Terms to accept',
  gguf: 'GGUF',
  about: (size: number) => `about ${format.bytes(size)}`,
  parameters: (total: number, active: number) =>
    `${format.parameters(total)} parameters, ${format.parameters(active)} per token`,
  updated: (date: string) => `updated ${date}`,
  license: (name: string) => `License: ${name}`,
  refresh: 'Refresh',

  variants: 'Variants',
  noVariants: 'This repository holds no weights that Moestro could fetch.',
  files: (count: number) => `${format.number(count)} ${count === 1 ? 'file' : 'files'}`,
  check: 'Will it run here?',
  checkVariant: (label: string) => `Will ${label} run here?`,
  checking: 'Reading its headers…',
  download: 'Download',
  downloadVariant: (label: string) => `Download ${label}`,
  continueDownload: 'Continue',
  listed: 'In the list above',
  isHere: 'On this machine',
  partly: (present: number) => `${format.bytes(present)} are here already`,
  card: 'About this model',
  cardLoading: 'Loading its description…',
  noCard: 'The repository has no description.',

  fits,
  verdict: {
    memory: (bytes: number) => `${format.bytes(bytes)} of memory`,
    experts: (slots: number, all: number) =>
      `${format.number(slots)} of ${format.number(all)} experts per layer in memory`,
    context: (tokens: number) => `up to ${format.tokens(tokens)} of context`,
    estimate: (speed: number) => `about ${format.rate(speed)} (estimate)`,
    measured: (speed: number) => `${format.rate(speed)} measured`,
    assumed,
    limits: 'Judge with other limits',
    limitsHelp: 'Empty is automatic. The model is loaded with these limits once it is here.',
    ramBudget: (unit: string) => `RAM budget (${unit})`,
    expertSlots: 'Experts per layer',
    contextTokens: 'Context (tokens)',
    automatic: (value: string) => `automatic: ${value}`,
    parts: 'Memory by part',
    tier: { vram: 'VRAM', ram: 'RAM', disk: 'Disk' },
    total: 'Total',
  },

  queue: {
    title: 'Downloads',
    state: {
      queued: 'Waiting for its turn',
      running: '',
      paused: 'Paused',
      failed: 'Stopped',
      done: 'Done',
    },
    phase(phase: Phase): string {
      switch (phase.phase) {
        case 'waiting':
          return 'Connecting…';
        case 'elsewhere':
          return 'Another program is fetching this file';
        case 'retrying':
          return `Trying again: ${phase.cause}`;
        case 'verifying':
          return 'Verifying…';
        default:
          return '';
      }
    },
    progress: (present: number, total: number) => `${format.bytes(present)} of ${format.bytes(total)}`,
    speed: (rate: number) => `${format.bytes(rate)}/s`,
    left: (seconds: number) => `${timeLeft(seconds)} left`,
    file: (number: number, of: number) => `file ${format.number(number)} of ${format.number(of)}`,
    pause: 'Pause',
    resume: 'Resume',
    retry: 'Try again',
    again: '(It is tried again by itself every minute.)',
    cancel: 'Cancel',
    load: 'Load',
    clear: 'Clear finished',
    confirmCancel: (bytes: number) => `Delete the ${format.bytes(bytes)} fetched so far?`,
    confirm: 'Delete',
    keep: 'Keep',
    limit: 'Speed limit',
    limitUnit: 'MiB/s',
    limitHint: 'none',
    free: (bytes: number, folder: string) => `${format.bytes(bytes)} free in ${folder}`,
  },

  token: {
    title: 'Access token',
    help: 'Needed for models whose terms you accepted on huggingface.co. It is kept in the keyring of your system; where none answers, in the file of Hugging Face’s own tools, readable by you only.',
    hint: 'hf_…',
    save: 'Save',
    forget: 'Forget it',
    saving: 'Saving…',
    unlock: 'Unlock…',
    place(place: TokenPlace): string {
      switch (place.place) {
        case 'nowhere':
          return 'None is set.';
        case 'variable':
          return `Taken from the variable ${place.name}.`;
        case 'keyring':
          return 'Kept in the keyring of your system.';
        case 'locked_keyring':
          return 'In the keyring of your system, which is locked.';
        case 'file':
          return `Kept in the file ${place.path}.`;
      }
    },
    variable: (name: string) => `To use another token, unset ${name} and start Moestro again.`,
  },

  library: {
    cache: 'Hugging Face cache',
    folder: 'Added folder',
    incomplete: 'Incomplete',
    more: (name: string) => `More about ${name}`,
    verify: 'Verify',
    verifying: (share: number) => `Verifying ${format.percent(share)}`,
    stop: 'Stop',
    good: (count: number) =>
      count === 1
        ? 'The file is as it should be.'
        : `All ${format.number(count)} files are as they should be.`,
    unknown: 'The checksums of these files are not known.',
    damaged: (files: string[]) => `Damaged: ${files.join(', ')}. Delete the model and fetch it again.`,
    reveal: 'Show in files',
    remove: 'Delete…',
    confirmRemove: (bytes: number) => `Delete the files and free ${format.bytes(bytes)}?`,
    removed: (bytes: number) => `${format.bytes(bytes)} are free again.`,
    confirm: 'Delete',
    keep: 'Keep',
    makeDefault: 'Load at start',
    quantize: 'BF16 and FP8 weights',
    asStored: 'as stored',
    isDefault: 'Loads at start',
    used: (date: string) => `last used ${date}`,
    speed: (measured: number | null, estimate: number | null) => {
      if (measured === null) return estimate === null ? '' : `about ${format.rate(estimate)} (estimate)`;
      const was = estimate === null ? '' : ` (estimate was ${format.rate(estimate)})`;
      return `${format.rate(measured)}${was}`;
    },
    folders: 'Folders looked through',
    addFolder: 'Add a folder…',
    removeFolder: (path: string) => `Do not look through ${path} any more`,
  },
};
