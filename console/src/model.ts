/** What an operation takes, as AWS's model has it and Portside hands it out: what forms are made of and checked by. */

import { read, shapesUrl } from "./api/call";

export interface Shape {
  type: string;
  members?: Record<string, string>;
  required?: string[];
  member?: string;
  key?: string;
  value?: string;
  enum?: string[];
  min?: number;
  max?: number;
  pattern?: string;
}

export interface Shapes {
  input: string;
  shapes: Record<string, Shape>;
  /** Members that nothing acts upon here, by path without places in lists: `volumes.name`. */
  refused?: string[];
  /** Fargate's sizes: memory in MiB by units of CPU. */
  fargate?: Record<string, number[]>;
}

export type Path = readonly (string | number)[];
export type Value = unknown;
export type Members = Record<string, Value>;

export interface Fault {
  path: Path;
  message: string;
  /** Nothing is wrong yet, something is missing. */
  isMissing?: boolean;
}

const known = new Map<string, Promise<Shapes>>();

/** Read once, kept while the page is open. */
export function shapesOf(service: string, operation: string): Promise<Shapes> {
  const name = `${service}/${operation}`;
  const found = known.get(name) ?? read<Shapes>(shapesUrl(service, operation));
  known.set(name, found);
  found.catch(() => known.delete(name));
  return found;
}

/** `containerDefinitions[0].name`. */
export function pathText(path: Path): string {
  return path.map((part, at) => (typeof part === "number" ? `[${part}]` : at ? `.${part}` : part)).join("");
}

/** `containerDefinitions.name`: without places in lists. */
export function memberText(path: Path): string {
  return path.filter((part) => typeof part === "string").join(".");
}

export function isMembers(value: Value): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function at(value: Value, path: Path): Value {
  let found = value;
  for (const part of path) {
    if (Array.isArray(found) && typeof part === "number") found = found[part];
    else if (isMembers(found) && typeof part === "string") found = found[part];
    else return undefined;
  }
  return found;
}

function isEmpty(value: Value): boolean {
  return value === undefined || value === "" || (Array.isArray(value) && value.length === 0);
}

/** The same with another value at the path; what is empty is left out, and so are structures that nothing is left in. */
export function put(value: Value, path: Path, to: Value): Value {
  const [part, ...rest] = path;
  if (part === undefined) return to;
  if (typeof part === "number") {
    const list = Array.isArray(value) ? [...value] : [];
    if (rest.length === 0 && to === undefined) list.splice(part, 1);
    else list[part] = put(list[part], rest, to) ?? {};
    return list.length ? list : undefined;
  }
  const members: Members = isMembers(value) ? { ...value } : {};
  const below = put(members[part], rest, to);
  if (isEmpty(below)) delete members[part];
  else members[part] = below;
  return Object.keys(members).length ? members : undefined;
}

/** Everything in a value that its operation would not take, as far as the model says. */
export function faultsOf(model: Shapes, value: Value): Fault[] {
  const faults: Fault[] = [];
  check(model, model.input, value, [], faults);
  return faults;
}

function check(model: Shapes, shapeName: string, value: Value, path: Path, faults: Fault[]): void {
  const shape = model.shapes[shapeName];
  if (!shape || value === undefined || value === null) return;
  const tell = (message: string) => void faults.push({ path, message });
  if (path.length && typeof path[path.length - 1] === "string" && model.refused?.includes(memberText(path))) {
    tell("Portside does not support this yet.");
  }
  switch (shape.type) {
    case "structure": {
      if (!isMembers(value)) return tell("This is an object.");
      const members = shape.members ?? {};
      for (const [member, below] of Object.entries(value)) {
        const of = members[member];
        if (of) check(model, of, below, [...path, member], faults);
        else faults.push({ path: [...path, member], message: `There is no member ${member} here.${like(member, Object.keys(members))}` });
      }
      for (const member of shape.required ?? []) {
        if (value[member] === undefined || value[member] === "" || value[member] === null) {
          faults.push({ path: [...path, member], message: `${member} is required.`, isMissing: true });
        }
      }
      return;
    }
    case "list": {
      if (!Array.isArray(value)) return tell("This is a list.");
      if (shape.min !== undefined && value.length < shape.min) tell(`At least ${shape.min}.`);
      if (shape.max !== undefined && value.length > shape.max) tell(`At most ${shape.max}.`);
      value.forEach((each, place) => check(model, shape.member ?? "", each, [...path, place], faults));
      return;
    }
    case "map": {
      if (!isMembers(value)) return tell("This is an object.");
      for (const [key, each] of Object.entries(value)) {
        if (key === "") faults.push({ path, message: "A key is empty." });
        check(model, shape.value ?? "", each, [...path, key], faults);
      }
      return;
    }
    case "boolean":
      return typeof value === "boolean" ? undefined : tell("This is true or false.");
    case "integer":
    case "long":
    case "double":
    case "float": {
      const isWhole = shape.type === "integer" || shape.type === "long";
      if (typeof value !== "number" || (isWhole && !Number.isInteger(value))) return tell(`This is a ${isWhole ? "whole " : ""}number.`);
      if (shape.min !== undefined && value < shape.min) tell(`At least ${shape.min}.`);
      if (shape.max !== undefined && value > shape.max) tell(`At most ${shape.max}.`);
      return;
    }
    case "string": {
      if (typeof value !== "string") return tell("This is text, in quotes.");
      if (shape.enum && !shape.enum.includes(value)) return tell(`One of ${shape.enum.join(", ")}.`);
      if (shape.min !== undefined && value.length < shape.min) tell(`At least ${shape.min} characters.`);
      if (shape.max !== undefined && value.length > shape.max) tell(`At most ${shape.max} characters.`);
      if (shape.pattern && !matches(shape.pattern, value)) tell(`It has to match ${shape.pattern}.`);
    }
  }
}

function matches(pattern: string, value: string): boolean {
  try {
    return new RegExp(`^(?:${pattern})$`, "u").test(value);
  } catch {
    return true; // written for another kind of expressions: the API will say
  }
}

/** ` Did you mean cpu?`, if a member is called much like it. */
function like(word: string, all: string[]): string {
  const near = all
    .map((each) => ({ each, far: distance(word.toLowerCase(), each.toLowerCase()) }))
    .sort((a, b) => a.far - b.far)[0];
  return near && near.far <= Math.max(1, Math.floor(word.length / 4)) ? ` Did you mean ${near.each}?` : "";
}

function distance(a: string, b: string): number {
  let before = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let row = 1; row <= a.length; row++) {
    const now = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1] ? 0 : 1;
      now[column] = Math.min((now[column - 1] ?? 0) + 1, (before[column] ?? 0) + 1, (before[column - 1] ?? 0) + same);
    }
    before = now;
  }
  return before[b.length] ?? 0;
}

/** Of an answer, what an operation takes: a service as it was described, as one like it would be made. */
export function picked(model: Shapes, value: Value, shapeName = model.input): Value {
  const shape = model.shapes[shapeName];
  if (!shape || value === undefined || value === null) return undefined;
  if (shape.type === "structure" && isMembers(value)) {
    const found: Members = {};
    for (const [member, of] of Object.entries(shape.members ?? {})) {
      const below = picked(model, value[member], of);
      if (!isEmpty(below) || (below !== undefined && shape.required?.includes(member))) found[member] = below;
    }
    return Object.keys(found).length ? found : undefined;
  }
  if (shape.type === "list" && Array.isArray(value)) return value.map((each) => picked(model, each, shape.member));
  return value;
}

/** Without the blank lines at the end of lists of text, which fields leave. */
export function whole(value: Value): Value {
  if (Array.isArray(value)) {
    const list = value.map(whole);
    while (list.length && list[list.length - 1] === "") list.pop();
    return list;
  }
  if (!isMembers(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([member, below]) => [member, whole(below)]));
}

/** The field that an error of the API's is about: the last of its path is named in the words, or it is known by the code. */
export function blamed(message: string, code: string, value: Value): Path | undefined {
  const CODES: Record<string, string> = {
    ClusterNotFoundException: "cluster",
    InvalidSubnetIDNotFound: "subnets",
    InvalidSubnetID: "subnets",
    InvalidGroup: "securityGroups",
    TargetGroupNotFoundException: "targetGroupArn",
    PlatformUnknownException: "platformVersion",
  };
  const words = new Set(message.toLowerCase().match(/[a-z0-9]+/g) ?? []);
  const inOne = message.toLowerCase().replace(/[^a-z0-9]/g, "");
  let best: { path: Path; score: number } | undefined;
  const visit = (below: Value, path: Path, isHere: boolean): void => {
    const last = path[path.length - 1];
    if (typeof last === "string") {
      const low = last.toLowerCase();
      const spelled = low.replace(/arn$/, "");
      let score = 0;
      if (CODES[code] === last || CODES[code.replace(/\.NotFound$|\.Malformed$/, "")] === last) score = 1000;
      else if (words.has(low)) score = 100 + low.length;
      else if (low.length > 6 && inOne.includes(spelled)) score = 10 + low.length;
      else if (typeof below === "string" && below.length > 2 && message.includes(below)) score = 50;
      if (score && isHere) score += 200;
      if (score && score > (best?.score ?? 0)) best = { path, score };
    }
    if (Array.isArray(below)) {
      below.forEach((each, place) => {
        const title = isMembers(each) ? each.name : undefined;
        visit(each, [...path, place], isHere || (typeof title === "string" && title !== "" && message.includes(title)));
      });
    } else if (isMembers(below)) {
      for (const [member, each] of Object.entries(below)) visit(each, [...path, member], isHere);
    }
  };
  visit(value, [], false);
  return best?.path;
}

/** The line, from 1, on which each value of a JSON text begins, by its path as text. The text is known to be JSON. */
export function linesOf(text: string): Map<string, number> {
  const found = new Map<string, number>();
  let place = 0;
  let line = 1;
  const space = (): void => {
    for (; /\s/.test(text[place] ?? ""); place++) if (text[place] === "\n") line++;
  };
  const word = (): string => {
    const start = place++;
    while (text[place] !== '"') place += text[place] === "\\" ? 2 : 1;
    place++;
    return JSON.parse(text.slice(start, place)) as string;
  };
  const value = (path: Path, from?: number): void => {
    space();
    found.set(pathText(path), from ?? line);
    const begin = text[place];
    if (begin === "{" || begin === "[") {
      place++;
      space();
      for (let count = 0; text[place] !== "}" && text[place] !== "]"; count++) {
        if (begin === "{") {
          const here = line;
          const key = word();
          space();
          place++; // the colon
          value([...path, key], here);
        } else value([...path, count]);
        space();
        if (text[place] === ",") place++;
        space();
      }
      place++;
    } else if (begin === '"') word();
    else while (place < text.length && !/[\s,\]}]/.test(text[place] ?? "")) place++;
  };
  value([]);
  return found;
}
