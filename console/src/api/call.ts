/** AWS's API, called as the account's root. Portside takes it from its own page only. */

const BELOW = "/_portside/console";

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
  return fetch(`${BELOW}/call/${service}/${operation}?region=${encodeURIComponent(region)}`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-portside-console": "1" },
    body: JSON.stringify(parameters),
    signal,
  });
}

export async function call<T>(service: string, operation: string, region: string, parameters: object = {}): Promise<T> {
  const answer = await post(service, operation, region, parameters);
  const text = await answer.text();
  const document = text ? JSON.parse(text) : {};
  if (!answer.ok) {
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

/** All pages of a list. */
export async function every<T>(
  service: string,
  operation: string,
  region: string,
  parameters: object,
  member: string,
  token = "nextToken",
): Promise<T[]> {
  const found: T[] = [];
  let next: string | undefined;
  do {
    const page: Record<string, unknown> = await call(service, operation, region, { ...parameters, [token]: next });
    found.push(...((page[member] as T[] | undefined) ?? []));
    next = page[token] as string | undefined;
  } while (next);
  return found;
}

/** Pieces of at most `size`: the Describe operations take so many names at once. */
export function pieces<T>(all: T[], size: number): T[][] {
  const found: T[][] = [];
  for (let start = 0; start < all.length; start += size) found.push(all.slice(start, start + size));
  return found;
}

/** A document of Portside's own. */
export async function read<T>(path: string): Promise<T> {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  const document = await answer.json();
  if (!answer.ok) throw new ApiError(String(answer.status), document.error ?? document.message, answer.status);
  return document as T;
}

export interface About {
  account: string;
  region: string;
  instance: string;
  version: string;
}

export const about = () => read<About>(`${BELOW}/about`);
export const changesUrl = (region: string) => `${BELOW}/changes?region=${encodeURIComponent(region)}`;
