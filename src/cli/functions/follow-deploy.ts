/**
 * Follows a Function from its being written to its being ready: the lines of its build, as they come, and how it ends. Nothing is polled.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import { followObject } from "#client/follow-object.ts";
import { UserError } from "#cli/command.ts";
import type { Terminal } from "#cli/terminal.ts";
import { conditionOf, type FunctionObject, functions } from "./function-object.ts";

const configMaps = { group: "", version: "v1", resource: "configmaps" };

type LogMap = KubeObject & { readonly data?: { readonly log?: string } };

export type FollowOptions = {
  readonly client: Client;
  readonly terminal: Terminal;
  readonly namespace: string;
  readonly name: string;
  /** What was written: what came before does not count. */
  readonly generation: number;
  /** The build log as it was before, by its version; undefined: there was none. */
  readonly logVersion: string | undefined;
  readonly timeoutSeconds: number;
};

/** The version of the function's build log now. */
export async function buildLogVersion(client: Client, namespace: string, name: string): Promise<string | undefined> {
  const found = await client.list<LogMap>(
    { resource: configMaps, namespace },
    { fieldSelector: `metadata.name=${name}-build` },
  );
  return found.items[0]?.metadata?.resourceVersion;
}

/** Resolves with the Function when it is ready. Throws UserError with the reason when it will not be, or is not in time. */
export async function followDeploy(options: FollowOptions): Promise<FunctionObject> {
  const { client, namespace, name, timeoutSeconds } = options;
  const abort = new AbortController();
  const late = setTimeout(() => abort.abort(new Late()), timeoutSeconds * 1000);
  const log = new BuildLines(options);
  const { signal } = abort;
  const reading = followObject<LogMap, never>(
    client,
    { resource: configMaps, namespace, name: `${name}-build` },
    { decide: (map) => log.take(map), signal },
  ).catch(() => {}); // the function's own end says it
  try {
    const decide = (fn: FunctionObject) => endOf(fn, options.generation);
    return await followObject(client, { resource: functions, namespace, name }, { decide, signal });
  } catch (error) {
    if (!(abort.signal.reason instanceof Late)) throw error;
    throw new UserError(
      `it is not ready after ${timeoutSeconds} s: 'nodeless fn describe ${name}' shows how far it is`,
    );
  } finally {
    clearTimeout(late);
    // The last lines may come after the verdict.
    log.take(
      await client.get<LogMap>({ resource: configMaps, namespace, name: `${name}-build` }).catch(() => undefined),
    );
    abort.abort(new Error("all was heard"));
    await reading;
  }
}

class Late extends Error {}

function endOf(fn: FunctionObject, generation: number): FunctionObject | undefined {
  if ((fn.status?.observedGeneration ?? 0) < generation) return undefined;
  const ready = conditionOf(fn, "Ready");
  if (ready?.status === "True") return fn;
  // While something newer is built, what is said of the Service is about what ran before.
  const [source, built] = ["SourceReady", "Built"].map((type) => conditionOf(fn, type)?.status);
  const isBuilding = source === "Unknown" || (source === "True" && built === "Unknown");
  if (ready?.status === "False" && !isBuilding) throw new UserError(`${ready.reason}: ${ready.message}`);
  return undefined;
}

/** Prints what is new of a build log. */
class BuildLines {
  readonly #options: FollowOptions;
  #printed = "";

  constructor(options: FollowOptions) {
    this.#options = options;
  }

  take(map: LogMap | undefined): undefined {
    if (map === undefined || map.metadata?.resourceVersion === this.#options.logVersion) return;
    const text = map.data?.log ?? "";
    const fresh = text.startsWith(this.#printed) ? text.slice(this.#printed.length) : text;
    this.#printed = text;
    // What went wrong is said at the end.
    for (const line of fresh.split("\n"))
      if (line !== "" && !line.startsWith("error: ")) this.#options.terminal.print(`   ${line}`);
  }
}
