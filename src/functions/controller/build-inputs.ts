/**
 * What decides over a function's image, and its hash: the same inputs are not built twice.
 */
import { createHash } from "node:crypto";
import type { BuildJob, BuildSettings } from "#functions/build/job.ts";
import type { FunctionObject } from "#api/nodeless/function.ts";

/** Counts up when the same source gives another image: what stands around handlers, how bundles are made. */
const edition = 1;

/** Changing it has the source built again: what a Git branch names may have changed. */
export const rebuildAnnotation = "nodeless.dev/rebuild";

/** The job for a function, without the folder it works in. */
export function jobOf({ metadata, spec = {} }: FunctionObject, settings: BuildSettings): Omit<BuildJob, "work"> {
  const { runtime = "isolate", source = {}, entrypoint, network } = spec;
  return {
    ...settings,
    repository: `functions/${settings.cluster}/${metadata?.namespace}/${metadata?.name}`,
    runtime,
    source,
    ...(entrypoint === undefined ? {} : { entrypoint }),
    ...(network?.outbound === undefined || runtime !== "isolate" ? {} : { outbound: network.outbound.allow ?? [] }),
  };
}

/** Of all that decides over the image. */
export function inputHashOf(fn: FunctionObject, settings: BuildSettings): string {
  const { runtime, source, entrypoint, outbound, repository, bases } = jobOf(fn, settings);
  const base = runtime === "node" || runtime === "python" ? bases[runtime] : "";
  const again = fn.metadata?.annotations?.[rebuildAnnotation] ?? "";
  const inputs = [edition, runtime, sorted(source), entrypoint, outbound, repository, base, again];
  return createHash("sha256").update(JSON.stringify(inputs)).digest("hex").slice(0, 32);
}

// Whoever wrote the object may have written its fields in another order.
function sorted(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, sorted(inner)] as const);
  return entries.toSorted(([a], [b]) => (a < b ? -1 : 1));
}
