import type { ChatSettings } from '../bindings/ChatSettings';
import type { GenerateRequest } from '../bindings/GenerateRequest';
import type { SamplingOverrides } from '../bindings/SamplingOverrides';
import type { Settings } from '../bindings/Settings';
import type { ChatMessage } from './conversation';

export function freshChatSettings(): ChatSettings {
  return {
    system_prompt: null,
    temperature: null,
    top_k: null,
    top_p: null,
    min_p: null,
    repetition_penalty: null,
    presence_penalty: null,
    frequency_penalty: null,
    seed: null,
    max_tokens: null,
    stop: [],
    at_limit: 'stop',
  };
}

/** Is anything set that the settings of the application do not say? */
export function isChanged(settings: ChatSettings): boolean {
  const { stop, at_limit, ...others } = settings;
  return stop.length > 0 || at_limit !== 'stop' || Object.values(others).some((value) => value !== null);
}

/** What a chat sets comes first, then what the application's settings say. */
export function requestFor(messages: ChatMessage[], chat: ChatSettings, app: Settings): GenerateRequest {
  const own: SamplingOverrides = {
    temperature: chat.temperature,
    top_k: chat.top_k,
    top_p: chat.top_p,
    min_p: chat.min_p,
    repetition_penalty: chat.repetition_penalty,
    presence_penalty: chat.presence_penalty,
    frequency_penalty: chat.frequency_penalty,
    seed: chat.seed,
  };
  const set = Object.fromEntries(Object.entries(own).filter(([, value]) => value !== null));
  return {
    prompt: { type: 'chat', messages },
    sampling: { ...app.sampling, ...set },
    max_tokens: chat.max_tokens ?? app.max_tokens,
    stop: chat.stop.filter((text) => text !== ''),
  };
}

type PresetName = 'default' | 'precise' | 'balanced' | 'creative';

const unset = { temperature: null, top_p: null, top_k: null, min_p: null };

/** Sets of parameters to begin from; each leaves what it does not name as it is. */
export const presets: readonly { name: PresetName; settings: Partial<ChatSettings> }[] = [
  { name: 'default', settings: unset },
  { name: 'precise', settings: { ...unset, temperature: 0.2, top_p: 0.9 } },
  { name: 'balanced', settings: { ...unset, temperature: 0.7, top_p: 0.8, top_k: 20 } },
  { name: 'creative', settings: { ...unset, temperature: 1.2, min_p: 0.05 } },
];
