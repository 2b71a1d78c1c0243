/** AWS's API, called as the account's root or as who has signed in. Portside takes it from its own page only. */

const BELOW = "/_portside/console";

/** Of every request that acts; a page of another site could not send it. */
const OURS = { "content-type": "application/json", "x-portside-console": "1" };

/** The account that calls are for; empty for the one that Portside takes by itself. */
let account = "";

export function actIn(wanted: string): void {
  account = wanted;
}

/** What is told when an answer says that nobody has signed in, or not any more. */
let signedOut: () => void = () => {};

export function onSignedOut(tell: () => void): void {
  signedOut = tell;
}

function where(region: string): string {
  return new URLSearchParams(account ? { region, account } : { region }).toString();
}

export class ApiError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

function post(service: string, operation: string, region: string, parameters: object, signal?: AbortSignal) {
  return fetch(`${BELOW}/call/${service}/${operation}?${where(region)}`, {
    method: "POST",
    headers: OURS,
    body: JSON.stringify(parameters),
    signal,
  });
}

export async function call<T>(service: string, operation: string, region: string, parameters: object = {}): Promise<T> {
  const answer = await post(service, operation, region, parameters);
  const text = await answer.text();
  const document = text ? JSON.parse(text) : {};
  if (!answer.ok) {
    if (answer.status === 401) signedOut();
    throw new ApiError(document.__type ?? String(answer.status), document.message ?? text, answer.status);
  }
  return document as T;
}

/** The body of an answer that goes on, until the signal ends it. */
export async function stream(
  service: string,
  operation: string,
  region: string,
  parameters: object,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  const answer = await post(service, operation, region, parameters, signal);
  if (!answer.ok || !answer.body) {
    const document = await answer.json();
    throw new ApiError(document.__type ?? String(answer.status), document.message, answer.status);
  }
  return answer.body;
}

/** All pages of a list. Args: token: what asks for the next page; answered: what names it, where that is called otherwise. */
export async function every<T>(
  service: string,
  operation: string,
  region: string,
  parameters: object,
  member: string,
  token = "nextToken",
  answered = token,
): Promise<T[]> {
  const found: T[] = [];
  let next: string | undefined;
  do {
    const page: Record<string, unknown> = await call(service, operation, region, { ...parameters, [token]: next });
    found.push(...((page[member] as T[] | undefined) ?? []));
    next = page[answered] as string | undefined;
  } while (next);
  return found;
}

/** Pieces of at most `size`: the Describe operations take so many names at once. */
export function pieces<T>(all: T[], size: number): T[][] {
  const found: T[][] = [];
  for (let start = 0; start < all.length; start += size) found.push(all.slice(start, start + size));
  return found;
}

/** A document of Portside's own, at `/_portside/...`; with a body, what it answers to that. */
export function read<T>(path: string, body?: object): Promise<T> {
  return own(
    path,
    body === undefined ? { headers: { accept: "application/json" } } : { method: "POST", headers: OURS, body: JSON.stringify(body) },
  );
}

/** Removes what Portside has at an address of its own. */
export const remove = <T>(path: string) => own<T>(path, { method: "DELETE", headers: OURS });

async function own<T>(path: string, how: RequestInit): Promise<T> {
  const answer = await fetch(path.startsWith(`${BELOW}/`) ? path : path.replace(/^\/_portside\//, `${BELOW}/own/`), how);
  const document = await answer.json();
  if (!answer.ok) {
    if (answer.status === 401) signedOut();
    throw new ApiError(String(answer.status), document.error ?? document.message, answer.status);
  }
  return document as T;
}

export interface About {
  account: string;
  region: string;
  instance: string;
  version: string;
  /** Where something is: regions by account. */
  places: Record<string, string[]>;
  /** Who has signed in, and until when (seconds since 1970), where one has to. */
  identity?: string;
  endsAt?: number;
}

/** Before anybody has signed in, where one has to. */
export interface Stranger {
  version: string;
  wants: "sign-in";
}

export const about = () => read<About | Stranger>(`${BELOW}/about`);
export const changesUrl = (region: string) => `${BELOW}/changes?${where(region)}`;
/** Of the region and account that are shown. */
export const hereUrl = (what: string, region: string, more: Record<string, string>) =>
  `${BELOW}/${what}?${where(region)}&${new URLSearchParams(more)}`;
export const shapesUrl = (service: string, operation: string) => `${BELOW}/shapes/${service}/${operation}`;

export interface Key {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken: string;
}

export const signIn = (key: Key) => read<object>(`${BELOW}/sign-in`, key);
export const signOut = () => read<object>(`${BELOW}/sign-out`, {});
