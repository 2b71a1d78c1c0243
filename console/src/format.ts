/** How things are said. */

/** The name at the end of an ARN, or of `family:revision` after a slash. */
export function nameOf(arn: string | undefined): string {
  return (arn ?? "").split("/").pop() ?? "";
}

/** `web (fs-1)`; of what has no name, its id. */
export function named(name: string | undefined, id: string): string {
  return name ? `${name} (${id})` : id;
}

/** The cluster's name in the ARN of a task or service. */
export function clusterOf(arn: string): string {
  const parts = arn.split("/");
  return parts.length > 2 ? (parts[1] ?? "") : nameOf(arn);
}

/** `web:3` of a task definition's ARN, as its two parts. */
export function familyOf(arn: string): { family: string; revision: string } {
  const [family = "", revision = ""] = nameOf(arn).split(":");
  return { family, revision };
}

/** `2026-11-27 18:50:10`, in the browser's own time zone. Times come as seconds since 1970. */
export function time(seconds: number | undefined): string {
  if (seconds === undefined) return "–";
  const at = new Date(seconds * 1000);
  const two = (value: number) => String(value).padStart(2, "0");
  return (
    `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}` +
    ` ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
  );
}

/** `3 min`, with one unit only. */
export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

/** A number with its noun: `1 task`, `2 tasks`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Fargate's units: `.25 vCPU`, `0.5 GB`. */
export function vcpu(units: string | number | undefined): string {
  return units ? `${Number(units) / 1024} vCPU` : "–";
}
export function memory(mib: string | number | undefined): string {
  return mib ? (Number(mib) >= 1024 ? `${Number(mib) / 1024} GB` : `${mib} MB`) : "–";
}

/** `1.2 GB`, in powers of ten as disks are sold. */
export function bytes(count: number | null | undefined): string {
  if (count === null || count === undefined) return "–";
  for (const [unit, size] of [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3]] as const) {
    if (count >= size) return `${(count / size).toFixed(1)} ${unit}`;
  }
  return `${count} bytes`;
}

/** Seconds since 1970 of a time as Portside writes it. */
export function secondsOf(at: string | null | undefined): number | undefined {
  return at ? Date.parse(at) / 1000 : undefined;
}
