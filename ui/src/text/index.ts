// Every text of the window is in this folder, in one place for translation.
import * as format from '../format';
import { chat } from './chat';
import { chats } from './chats';
import { habits } from './habits';
import { memory } from './memory';
import { withPeriod } from './sentence';
import { settings } from './settings';

export const text = {
  app: 'Moestro',
  nav: {
    label: 'Pages',
    chat: 'Chat',
    models: 'Models',
    memory: 'Memory',
    api: 'API',
    settings: 'Settings',
  },

  common: {
    automatic: 'Automatic',
    cancel: 'Cancel',
    cancelling: 'Cancelling…',
    dismiss: 'Dismiss',
    loading: 'Loading…',
    none: 'None',
    reset: 'Reset',
    retry: 'Try again',
  },

  closing: {
    downloads: {
      title: 'Downloads are running',
      background:
        'They can go on without a window: the model is unloaded, and Moestro ends by itself when they are done. Open Moestro again to see them.',
      quit: 'If you quit, they pause and go on where they were the next time you open Moestro.',
      backgroundButton: 'Keep downloading',
      quitButton: 'Pause and quit',
    },
    api: {
      title: 'Other programs can use the model',
      background:
        'The API can go on without a window: the model stays loaded, and answers go on. Open Moestro again to see it or to quit.',
      quit: 'If you quit, their requests are refused until you open Moestro again.',
      backgroundButton: 'Keep the API running',
      quitButton: 'Quit',
    },
    both: {
      title: 'The API and downloads are running',
      background:
        'Both can go on without a window, and the model stays loaded. Open Moestro again to see them or to quit.',
      quit: 'If you quit, downloads pause and requests are refused until you open Moestro again.',
      backgroundButton: 'Keep both running',
      quitButton: 'Quit',
    },
  },

  strip: {
    label: 'This machine',
    noModel: 'No model loaded',
    loading: (name: string) => `Loading ${name}`,
    engineStopped: 'Engine stopped',
    engineStarting: 'Engine is starting',
    ram: 'RAM',
    vram: 'VRAM',
    noGpu: 'No GPU',
    ramOwn: (own: number) => `${format.bytes(own)} used`,
    ramFree: (free: number) => `${format.bytes(free)} free`,
    ramTitle: (own: number, total: number, free: number) =>
      `Moestro uses ${format.bytes(own)} of ${format.bytes(total)}; ${format.bytes(free)} are free`,
    vramUse: (used: number, total: number) => `${format.bytes(used)} of ${format.bytes(total)}`,
    idle: 'Idle',
    open: 'Open the Memory page',
  },

  engine: {
    stoppedTitle: 'The engine stopped',
    stopped: (message: string) => `The engine stopped: ${withPeriod(message)}`,
    partialKept: 'Your partial answer is kept.',
    loadAgain: 'Load again',
    starting: 'Starting…',
  },

  chat,

  chats,

  models: {
    title: 'Models',
    lead: 'A model file (GGUF) or a Hugging Face folder with config.json and safetensors.',
    list: 'Models you can load',
    demo: 'Demo',
    active: 'Loaded',
    missing: 'Not there any more',
    load: 'Load',
    loadModel: (name: string) => `Load ${name}`,
    unload: 'Unload',
    unloading: 'Unloading…',
    forget: 'Remove from this list (the file stays)',
    openFile: 'Open model file…',
    openFolder: 'Open model folder…',
    path: 'Path of a model file or folder',
    pathHint: '/home/you/models/model.gguf',
    loadPath: 'Load',
    empty: 'No models yet. Open one below.',
    progress: (done: number, total: number) => `${format.bytes(done)} of ${format.bytes(total)}`,
    stages: {
      opening: 'Opening the files',
      quantizing: 'Quantizing the weights, once',
      weights: 'Reading weights',
    },
    preparing: 'Preparing…',
    failedTitle: (name: string) => `${name} could not be loaded`,
    advice: {
      request: 'Check the path and the settings, then try again.',
      checkpoint: 'Check that the download is complete, or choose another model.',
      disk: 'Check that the disk is connected and readable, then try again.',
      memory: 'Close other programs, or choose a smaller model or a smaller context.',
      cancelled: '',
      internal: 'Try again. If it happens again, restart Moestro.',
    },
    retry: 'Try again',
    details: 'Loaded model',
    detail: {
      architecture: 'Architecture',
      parameters: 'Parameters',
      file: 'Size on disk',
      layers: 'Layers',
      layersValue: (all: number, moe: number) => `${format.number(all)}, ${format.number(moe)} with experts`,
      experts: 'Experts',
      expertsValue: (all: number, used: number) =>
        `${format.number(all)} per layer, ${format.number(used)} used per token`,
      expertBytes: 'Size of one expert',
      formats: 'Weight formats',
      vocabulary: 'Vocabulary',
      context: 'Longest context',
      skipped: 'Parts not used',
      path: 'Path',
      source: 'Kind',
      sources: { gguf: 'GGUF file', hugging_face: 'Hugging Face folder' },
    },
  },

  memory,
  habits,

  settings,
} as const;
