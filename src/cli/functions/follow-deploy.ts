/**
 * Follows a Function from its being written to its being ready: the lines of its build, as they come, what it waits for, and how it ends. Nothing is polled.
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
  /** What was known of it when it was deployed again as it was: no news. */
  readonly before?: FunctionObject | undefined;
  /** How much of {@link patienceMs} there is, for tests. Default 1. */
  readonly patience?: number;
};

/** What does not get better by itself: how long it is waited for somebody who puts it right just now, such as by a Secret that comes a moment later. */
const patienceMs: Readonly<Record<string, number>> = {
  CreateContainerConfigError: 5000,
  CreateContainerError: 5000,
  RunContainerError: 5000,
  InvalidImageName: 2000,
  ErrImageNeverPull: 2000,
  FailedCreatePodSandBox: 10_000,
  FailedMount: 10_000,
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
  const wait = new Wait(options, (why) => abort.abort(why));
  const { signal } = abort;
  const reading = followObject<LogMap, never>(
    client,
    { resource: configMaps, namespace, name: `${name}-build` },
    { decide: (map) => log.take(map), signal },
  ).catch(() => {}); // the function's own end says it
  try {
    const decide = (fn: FunctionObject) => {
      const end = isAsBefore(fn, options.before) ? undefined : endOf(fn, options.generation);
      if (end === undefined) wait.take(fn);
      return end;
    };
    return await followObject(client, { resource: functions, namespace, name }, { decide, signal });
  } catch (error) {
    const how = `'nodeless fn describe ${name}' shows how far it is`;
    if (signal.reason instanceof Hopeless)
      throw new UserError(`${signal.reason.message}\nIt is tried again by itself: ${how}`);
    if (!(signal.reason instanceof Late)) throw error;
    const waitsFor = wait.said === "" ? "" : ` (${wait.said})`;
    throw new UserError(`it is not ready after ${timeoutSeconds} s${waitsFor}: ${how}`);
  } finally {
    clearTimeout(late);
    wait.end();
    // The last lines may come after the verdict.
    log.take(
      await client.get<LogMap>({ resource: configMaps, namespace, name: `${name}-build` }).catch(() => undefined),
    );
    abort.abort(new Error("all was heard"));
    await reading;
  }
}

class Late extends Error {}

/** Nobody puts right what is in the way. */
class Hopeless extends Error {}

/** Says what it waits for, once each, and loses patience with what does not get better by itself. */
class Wait {
  readonly #options: FollowOptions;
  readonly #giveUp: (why: Hopeless) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #reason = "";
  /** What was said last. */
  said = "";

  constructor(options: FollowOptions, giveUp: (why: Hopeless) => void) {
    this.#options = options;
    this.#giveUp = giveUp;
  }

  take(fn: FunctionObject): void {
    const { generation, patience = 1, terminal, before } = this.#options;
    if ((fn.status?.observedGeneration ?? 0) < generation || isAsBefore(fn, before)) return;
    const { status, reason = "", message = "" } = conditionOf(fn, "ServiceReady") ?? {};
    // Of a build its own lines tell, and of the Service's ordinary steps nobody wants to hear.
    const waitsFor =
      status === "Unknown" && message !== "" && !ordinary.includes(reason) ? `${reason}: ${message}` : "";
    if (waitsFor !== "" && waitsFor !== this.said) terminal.print(`   waits: ${waitsFor}`);
    this.said = waitsFor;
    if (reason === this.#reason) return;
    this.end();
    this.#reason = reason;
    const ms = patienceMs[reason];
    if (waitsFor !== "" && ms !== undefined)
      this.#timer = setTimeout(() => this.#giveUp(new Hopeless(this.said)), ms * patience);
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

const ordinary: readonly string[] = [
  "Deploying",
  "NotBuilt",
  "OutOfDate",
  "RevisionMissing",
  "IngressNotConfigured",
  "Uninitialized",
  "RolloutInProgress",
  "TrafficNotMigrated",
];

/** A verdict of before is none on what is tried again now. */
function isAsBefore(fn: FunctionObject, before: FunctionObject | undefined): boolean {
  const verdict = (one: FunctionObject) => JSON.stringify(conditionOf(one, "Ready"));
  return before !== undefined && verdict(before) === verdict(fn);
}

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
