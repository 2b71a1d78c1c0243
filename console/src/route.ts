/** Where one is, all of it in the address, so that every page can be linked to: `#/clusters/web/tasks?region=us-east-1`. */

export interface Place {
  path: string[];
  query: URLSearchParams;
}

export function placeOf(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  return { path: path.split("/").filter(Boolean).map(decoded), query: new URLSearchParams(query) };
}

/** The account that addresses name; empty for the one that Portside takes by itself. */
let account = "";

export function linkTo(wanted: string): void {
  account = wanted;
}

/** The address of a page. Names may hold anything: each part is escaped. */
export function hrefOf(path: string[], region: string, query: Record<string, string> = {}): string {
  const all = new URLSearchParams(account ? { ...query, region, account } : { ...query, region });
  return `#/${path.map(encodeURIComponent).join("/")}?${all}`;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // somebody typed a per cent sign
  }
}
