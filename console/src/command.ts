/** The `aws` command that does the same as a call: every form shows its own. */

const SERVICES: Record<string, string> = { "application-autoscaling": "application-autoscaling" };

/** `RunTask` is `run-task`, `launchType` is `--launch-type`, `DBName` is `db-name`. */
export function kebab(name: string): string {
  return name
    .replace(/([A-Z]+)([A-Z][a-z])/g, "$1-$2")
    .replace(/([a-z0-9])([A-Z])/g, "$1-$2")
    .toLowerCase();
}

/** As a shell takes it for one word. */
export function quoted(text: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

export function commandOf(service: string, operation: string, parameters: object): string {
  const words = [`aws ${SERVICES[service] ?? service} ${kebab(operation)}`];
  for (const [name, value] of Object.entries(parameters)) {
    if (value === undefined) continue;
    const option = kebab(name);
    if (typeof value === "boolean") words.push(value ? `--${option}` : `--no-${option}`);
    else if (Array.isArray(value) && value.every((each) => typeof each === "string")) {
      words.push(`--${option} ${value.map(quoted).join(" ")}`);
    } else if (typeof value === "object") words.push(`--${option} ${quoted(JSON.stringify(value))}`);
    else words.push(`--${option} ${quoted(String(value))}`);
  }
  return words.join(" \\\n  ");
}
