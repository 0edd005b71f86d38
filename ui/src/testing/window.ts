// The whole window over a recorded engine, and what a person does in it.
import { cleanup, fireEvent, render, screen } from '@testing-library/svelte';
import { tick } from 'svelte';
import { afterEach, beforeEach, vi } from 'vitest';
import App from '../App.svelte';
import type { AppState } from '../state/app.svelte';
import { recordedApp } from './app';
import type { RecordedHub } from './hub';
import { info, placement, stats, type Recorder } from './recorded';

/** Of the window of the test that runs. */
export let api: Recorder;
export let hub: RecordedHub;
export let app: AppState;

/** Opens a new window before each test of the file. Time passes with `settle` only. */
export function openWindows(timers?: Parameters<typeof vi.useFakeTimers>[0]): void {
  beforeEach(async () => {
    vi.useFakeTimers(timers);
    ({ api, hub, app } = recordedApp());
    render(App, { state: app });
    await settle();
  });
  afterEach(() => {
    cleanup();
    vi.useRealTimers();
  });
}

export async function settle(ms = 300): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  await tick();
}

export const at = (id: string) => screen.getByTestId(id);
export const all = (id: string) => screen.queryAllByTestId(id);
export const words = (id: string) => all(id).map((element) => element.textContent?.trim());
export const open = (page: string) => fireEvent.click(at(`nav-${page}`));

/** The engine has loaded what it was asked for. */
export async function loaded(): Promise<void> {
  api.tell({ type: 'loaded', id: api.last('load').id, model: info, placement: placement() });
  await settle();
}

export async function ask(question: string): Promise<number> {
  await fireEvent.input(at('prompt'), { target: { value: question } });
  await fireEvent.keyDown(at('prompt'), { key: 'Enter' });
  await settle();
  return api.last('generate').id;
}

/** Asks and lets the engine answer. */
export async function answered(question: string, answer: string, decode_ms = 100): Promise<number> {
  await app.chat.ask(question);
  const { id } = api.last('generate');
  api.tell({ type: 'token', id, text: answer, tokens: 1 });
  api.tell({ type: 'finished', id, reason: 'stop', stats: { ...stats, decode_ms } });
  await settle();
  return id;
}
