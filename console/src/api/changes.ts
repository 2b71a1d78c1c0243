/** What changes, as Portside says it: one stream for the whole page, and whoever shows something of it listens. */

import { changesUrl } from "./call";

/** The keys of the records that changed, by kind; null for too many to name. */
export type Told = Record<string, string[] | null>;

/** Told is null when everything may be different: the stream was cut off, and is there again. */
const RETRY_MS = 1000;

type Listener = (told: Told | null) => void;

const listeners = new Set<Listener>();
const watchers = new Set<(isLive: boolean) => void>();
let source: EventSource | undefined;
let timer: ReturnType<typeof setTimeout> | undefined;
let region = "";
let account = "";
let isLive = false;

function setLive(value: boolean): void {
  isLive = value;
  for (const watcher of watchers) watcher(value);
}

/** Listen to another region's or account's changes from now on. */
export function follow(wanted: string, of = ""): void {
  if (wanted === region && of === account && source) return;
  close();
  region = wanted;
  account = of;
  open();
}

function open(): void {
  // Browsers keep few connections to a host, for all their tabs: one that nobody looks at gives its own back.
  if (document.hidden) return;
  const opened = new EventSource(changesUrl(region));
  source = opened;
  opened.addEventListener("ready", () => {
    setLive(true);
    // What happened before this stream was there is not told by it.
    for (const listener of listeners) listener(null);
  });
  opened.onmessage = (event) => {
    const told = JSON.parse(event.data) as Told;
    for (const listener of listeners) listener(told);
  };
  opened.onerror = () => {
    if (source !== opened) return;
    setLive(false);
    // The browser tries again by itself, but not after an answer that is no stream (while Portside starts, say).
    if (opened.readyState !== EventSource.CLOSED) return;
    close();
    timer = setTimeout(open, RETRY_MS);
  };
}

function close(): void {
  clearTimeout(timer);
  source?.close();
  source = undefined;
}

/** Nobody has signed in any more: there is nothing to hear. */
export function leave(): void {
  close();
  region = "";
  setLive(false);
}

/** A tab that is hidden hears nothing, and catches up when it is seen again. */
export function followWhileSeen(): void {
  document.addEventListener("visibilitychange", () => {
    close();
    if (region) open();
  });
}

export function onChange(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Whether what is shown is followed. */
export function onLive(watcher: (isLive: boolean) => void): () => void {
  watchers.add(watcher);
  watcher(isLive);
  return () => watchers.delete(watcher);
}

/** Whether a change concerns what is shown: one of its kinds, and keys that begin with its prefix. */
export function concerns(told: Told | null, kinds: readonly string[], prefix = ""): boolean {
  if (told === null) return true;
  return kinds.some((kind) => {
    const keys = told[kind];
    return keys === null || (keys !== undefined && keys.some((key) => key.startsWith(prefix)));
  });
}
