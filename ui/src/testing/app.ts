import { AppState } from '../state/app.svelte';
import { RecordedHub } from './hub';
import { Recorder } from './recorded';

/** A new application whose engine says what a test lets it say. */
export function recordedApp(): { api: Recorder; app: AppState } {
  localStorage.clear();
  const api = new Recorder();
  const app = new AppState(api, new RecordedHub(), localStorage);
  api.onStart = () => app.engine.status !== 'running' && api.ready();
  return { api, app };
}
