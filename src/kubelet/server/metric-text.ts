/**
 * Prometheus' text format.
 */

/** One metric; nothing without samples. A sample is what stands behind the name: `{pod="web"} 3`. */
export function family(name: string, type: string, help: string, samples: readonly string[]): string {
  if (samples.length === 0) return "";
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${samples.map((sample) => `${name}${sample}\n`).join("")}`;
}

/** `{container="main",pod="web"}`, by name as Prometheus' own libraries write them. */
export function labels(values: Readonly<Record<string, string>>): string {
  const parts = Object.keys(values)
    .sort()
    .map((name) => `${name}="${escape(values[name] ?? "")}"`);
  return `{${parts.join(",")}}`;
}

function escape(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
