import type { Prompt } from '../bindings/Prompt';
import type { ChatState } from './chat.svelte';
import { contentOf, toMessages } from './conversation';
import type { EngineState } from './engine.svelte';
import { chatPrompt } from './limit';
import type { MemoryState } from './memory.svelte';
import type { ModelState } from './model.svelte';
import type { SettingsState } from './settings.svelte';

const COUNT_DELAY_MS = 250;

/** How much of the context the chat takes, and the prompt being written. */
export class ContextState {
  /** Tokens of the chat so far, and of the prompt with its files; null until counted. */
  chat = $state<number | null>(null);
  prompt = $state(0);
  /** Tokens of each file of the prompt. */
  files = $state.raw<number[]>([]);

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

  readonly used = $derived.by(() => (this.chat ?? 0) + this.prompt);

  /** Called in an effect: counts again a moment after anything that matters has changed. */
  follow(): () => void {
    const { draft, generating, turns, settings, files } = this.#of;
    const system = settings.system_prompt ?? this.#settings.value.system_prompt;
    const model = this.#model.path ?? '';
    // Only that they changed matters here; they are read when it is time to count.
    void [turns.length, files.length];
    if (this.size === 0) return () => undefined;
    const timer = setTimeout(() => {
      // While an answer grows, its tokens are known without counting.
      const messages = generating ? null : toMessages(turns, system);
      const prompt = contentOf({ text: draft, files });
      void this.#count(model, messages, [prompt, ...files.map((file) => file.text)]);
    }, COUNT_DELAY_MS);
    return () => clearTimeout(timer);
  }

  async #count(
    model: string,
    messages: ReturnType<typeof toMessages> | null,
    [content = '', ...files]: string[],
  ): Promise<void> {
    this.#latest += 1;
    const latest = this.#latest;
    const key = JSON.stringify([model, messages]);
    const prompts: Prompt[] = [content, ...files].map((text) => ({ type: 'raw', text }));
    const again = messages !== null && key !== this.#counted;
    const hasTurns = messages?.some((message) => message.role !== 'system') ?? false;
    if (again && hasTurns) prompts.push(chatPrompt(messages ?? []));
    else if (again) prompts.push({ type: 'raw', text: messages?.[0]?.content ?? '' });
    try {
      const tokens = content === '' && !again ? [0] : await this.#engine.count(prompts);
      if (latest !== this.#latest) return;
      this.prompt = tokens[0] ?? 0;
      this.files = tokens.slice(1, 1 + files.length);
      if (again) {
        this.chat = tokens.at(-1) ?? null;
        this.#counted = key;
      }
    } catch {
      // Without an engine there is nothing to count for.
      if (latest === this.#latest) this.chat = null;
    }
  }
}
