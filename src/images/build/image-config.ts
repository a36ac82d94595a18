/**
 * The configuration of an image that is laid onto another one: what is said here wins, what is not said stays. Merged as Dockerfiles do it.
 */
import type { ImageConfig } from "#images/oci.ts";

/** What a container of the image gets by default. Absent: as in the base. */
export type ConfigChanges = {
  /** By name; others of the base stay. */
  readonly env?: Readonly<Record<string, string>>;
  /** The base's cmd goes with its entrypoint. */
  readonly entrypoint?: readonly string[];
  readonly cmd?: readonly string[];
  readonly workingDir?: string;
  /** "1000", "1000:1000", "nobody". */
  readonly user?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** TCP ports, or "53/udp". */
  readonly exposedPorts?: readonly (number | string)[];
  readonly stopSignal?: string;
};

type Defaults = NonNullable<ImageConfig["config"]>;

/** The base's defaults with the changes laid over them. */
export function mergeConfig(base: Defaults | undefined, changes: ConfigChanges): Defaults {
  const { env, entrypoint, cmd, workingDir, user, labels, exposedPorts, stopSignal } = changes;
  const { Cmd: baseCmd, ...rest } = base ?? {};
  const newCmd = cmd ?? (entrypoint === undefined ? baseCmd : undefined);
  return {
    ...rest,
    ...(user !== undefined && { User: user }),
    ...(env && { Env: mergeEnv(rest.Env ?? [], env) }),
    ...(entrypoint && { Entrypoint: entrypoint }),
    ...(newCmd && { Cmd: newCmd }),
    ...(workingDir !== undefined && { WorkingDir: workingDir }),
    ...(labels && { Labels: { ...rest.Labels, ...sorted(labels) } }),
    ...(exposedPorts && { ExposedPorts: { ...rest.ExposedPorts, ...portSet(exposedPorts) } }),
    ...(stopSignal !== undefined && { StopSignal: stopSignal }),
  };
}

function mergeEnv(base: readonly string[], changes: Readonly<Record<string, string>>): readonly string[] {
  const merged = new Map(base.map((entry) => [entry.split("=", 1)[0] ?? "", entry]));
  for (const [name, value] of Object.entries(sorted(changes))) merged.set(name, `${name}=${value}`);
  return [...merged.values()];
}

function portSet(ports: readonly (number | string)[]): Readonly<Record<string, object>> {
  const names = ports.map((port) => (String(port).includes("/") ? String(port) : `${port}/tcp`));
  return Object.fromEntries(names.sort().map((name) => [name, {}]));
}

// The order in which somebody wrote them down changes no digest.
function sorted(values: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1)));
}
