import type { Prompt } from '../bindings/Prompt';
import type { ChatState } from './chat.svelte';
import { contentOf, toMessages } from './conversation';
import type { EngineState } from './engine.svelte';
import { chatPrompt } from './limit';
import type { MemoryState } from './memory.svelte';
import type { ModelState } from './model.svelte';
import type { SettingsState } from './settings.svelte';

const COUNT_DELAY_MS = 250;

/** Tokens of a chat so far, of the prompt with its files, and of each file. */
interface Counted {
  /** The chat they are of, as it was shown. */
  shown: number;
  chat: number | null;
  prompt: number;
  files: number[];
}

/** How much of the context the chat takes, and the prompt being written. */
export class ContextState {
  #last = $state.raw<Counted | null>(null);
  readonly #engine: EngineState;
  readonly #model: ModelState;
  readonly #memory: MemoryState;
  readonly #settings: SettingsState;
  readonly #of: ChatState;
  #counted = '';
  #latest = 0;

  constructor(
    engine: EngineState,
    model: ModelState,
    memory: MemoryState,
    settings: SettingsState,
    chat: ChatState,
  ) {
    this.#engine = engine;
    this.#model = model;
    this.#memory = memory;
    this.#settings = settings;
    this.#of = chat;
  }

  /** Tokens that the loaded model has memory for; 0 without one. */
  get size(): number {
    return this.#model.phase === 'loaded' ? (this.#memory.placement?.context ?? 0) : 0;
  }

  readonly #now = $derived.by(() => (this.#last?.shown === this.#of.shown ? this.#last : null));

  /** Tokens of the chat that is shown; null until they are counted. */
  get chat(): number | null {
    return this.#now?.chat ?? null;
  }

  get prompt(): number {
    return this.#now?.prompt ?? 0;
  }

  /** Of each file of the prompt. */
  get files(): number[] {
    return this.#now?.files ?? [];
  }

  /** Called in an effect: counts again a moment after anything that matters has changed. */
  follow(): () => void {
    const { draft, generating, turns, settings, files, shown } = this.#of;
    const system = settings.system_prompt ?? this.#settings.value.system_prompt;
    const model = this.#model.path ?? '';
    // Only that they changed matters here; they are read when it is time to count.
    void [turns.length, files.length];
    if (this.size === 0) return () => undefined;
    const timer = setTimeout(() => {
      // While an answer grows, its tokens are known without counting.
      const messages = generating ? null : toMessages(turns, system);
      const prompt = contentOf({ text: draft, files });
      void this.#count(shown, model, messages, [prompt, ...files.map((file) => file.text)]);
    }, COUNT_DELAY_MS);
    return () => clearTimeout(timer);
  }

  async #count(
    shown: number,
    model: string,
    messages: ReturnType<typeof toMessages> | null,
    [content = '', ...files]: string[],
  ): Promise<void> {
    this.#latest += 1;
    const latest = this.#latest;
    const key = JSON.stringify([shown, model, messages]);
    const prompts: Prompt[] = [content, ...files].map((text) => ({ type: 'raw', text }));
    const again = messages !== null && key !== this.#counted;
    const hasTurns = messages?.some((message) => message.role !== 'system') ?? false;
    if (again && hasTurns) prompts.push(chatPrompt(messages ?? []));
    else if (again) prompts.push({ type: 'raw', text: messages?.[0]?.content ?? '' });
    try {
      const tokens = content === '' && !again ? [0] : await this.#engine.count(prompts);
      if (latest !== this.#latest) return;
      this.#last = {
        shown,
        chat: again ? (tokens.at(-1) ?? null) : this.chat,
        prompt: tokens[0] ?? 0,
        files: tokens.slice(1, 1 + files.length),
      };
      if (again) this.#counted = key;
    } catch {
      // Without an engine there is nothing to count for.
      if (latest === this.#latest) this.#last = null;
    }
  }
}
