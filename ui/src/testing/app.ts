import { AppState } from '../state/app.svelte';
import { MemoryChats } from './chats';
import { RecordedHub } from './hub';
import { Recorder } from './recorded';

interface Recorded {
  api: Recorder;
  chats: MemoryChats;
  hub: RecordedHub;
  app: AppState;
}

/** A new application whose engine says what a test lets it say. */
export function recordedApp(): Recorded {
  localStorage.clear();
  const api = new Recorder();
  const chats = new MemoryChats(api);
  const hub = new RecordedHub();
  const app = new AppState(api, hub, chats, localStorage);
  api.witness = (event) => chats.hear(event);
  api.onStart = () => app.engine.status !== 'running' && api.ready();
  return { api, chats, hub, app };
}
