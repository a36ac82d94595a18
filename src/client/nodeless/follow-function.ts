/**
 * Follows a Function from its being written to its being ready: the lines of its build, as they come, what it waits for, and how it ends. Nothing is polled. Commands and push to deploy follow
 * alike; each says it in its own way.
 */
import { conditionOf, type FunctionObject, functions } from "#api/nodeless/function.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import { followObject } from "#client/follow-object.ts";
import { BuildLines, buildLogOf, type BuildLog } from "./build-lines.ts";

export type FollowFunctionOptions = {
  readonly client: Client;
  readonly namespace: string;
  readonly name: string;
  /** What was written: what came before does not count. */
  readonly generation: number;
  /** The build log as it was before, by its version; undefined: there was none. */
  readonly logVersion: string | undefined;
  /** What was known of it when it was deployed again as it was: no news. */
  readonly before?: FunctionObject | undefined;
  /** A line of the build. */
  readonly onLine: (line: string) => void;
  /** What it waits for now; "": nothing that is worth a word. Not told twice in a row. */
  readonly onWait: (what: string) => void;
  readonly signal: AbortSignal;
  /** How much of {@link patienceMs} there is, for tests. Default 1. */
  readonly patience?: number | undefined;
};

/** It will not be ready, as far as can be known; the message is the Function's own. */
export class FunctionFailed extends Error {
  readonly kind = "FunctionFailed";
  /** What is in the way may be put right: until then it is tried again by itself. */
  readonly isTriedAgain: boolean;

  constructor(message: string, options: ErrorOptions & { readonly isTriedAgain?: boolean } = {}) {
    super(message, options);
    this.isTriedAgain = options.isTriedAgain ?? false;
  }
}

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

/** The Service's steps that nobody wants to hear of. */
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

/** Resolves with the Function when it is ready. Throws {@link FunctionFailed} when it will not be, and the signal's reason. All lines are told by then. */
export async function followFunction(options: FollowFunctionOptions): Promise<FunctionObject> {
  const { client, namespace, name, generation, before, logVersion, onLine } = options;
  const ended = new AbortController();
  const signal = AbortSignal.any([options.signal, ended.signal]);
  const log = new BuildLines(logVersion, onLine);
  const wait = new Wait(options, (why) => ended.abort(why));
  const logRef = buildLogOf(namespace, name);
  const reading = followObject<BuildLog, never>(client, logRef, {
    decide: (map) => log.take(map),
    signal,
    mayBeAbsent: true,
  }).catch(() => {}); // the function's own end says it
  try {
    const decide = (fn: FunctionObject): FunctionObject | undefined => {
      const end = isAsBefore(fn, before) ? undefined : endOf(fn, generation);
      if (end === undefined) wait.take(fn);
      return end;
    };
    return await followObject(client, { resource: functions, namespace, name }, { decide, signal });
  } catch (error) {
    // What is thrown is not always the reason.
    signal.throwIfAborted();
    if (hasReason(error, "NotFound")) throw gone(error);
    throw error;
  } finally {
    wait.end();
    // The last lines may come after the verdict; without them the verdict counts all the same.
    log.take(await client.get<BuildLog>(logRef).catch(() => undefined));
    ended.abort(new Error("all was heard"));
    await reading;
  }
}

/** How it ended, as written in this generation or later: the Function when it is ready, undefined while that is open. Throws {@link FunctionFailed}. */
export function endOf(
  fn: FunctionObject,
  generation: number = fn.metadata?.generation ?? 0,
): FunctionObject | undefined {
  if (fn.metadata?.deletionTimestamp !== undefined) throw gone();
  if ((fn.status?.observedGeneration ?? 0) < generation) return undefined;
  const ready = conditionOf(fn, "Ready");
  if (ready?.status === "True") return fn;
  // While something newer is built, what is said of the Service is about what ran before.
  const [source, built] = ["SourceReady", "Built"].map((type) => conditionOf(fn, type)?.status);
  const isBuilding = source === "Unknown" || (source === "True" && built === "Unknown");
  if (ready?.status === "False" && !isBuilding) throw new FunctionFailed(`${ready.reason}: ${ready.message}`);
  return undefined;
}

function gone(cause?: unknown): FunctionFailed {
  return new FunctionFailed("it was deleted meanwhile", { cause });
}

/** A verdict of before is none on what is tried again now. */
function isAsBefore(fn: FunctionObject, before: FunctionObject | undefined): boolean {
  const verdict = (one: FunctionObject) => JSON.stringify(conditionOf(one, "Ready"));
  return before !== undefined && verdict(before) === verdict(fn);
}

/** Tells what it waits for, and loses patience with what does not get better by itself. */
class Wait {
  readonly #options: FollowFunctionOptions;
  readonly #giveUp: (why: FunctionFailed) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #reason = "";
  #told = "";

  constructor(options: FollowFunctionOptions, giveUp: (why: FunctionFailed) => void) {
    this.#options = options;
    this.#giveUp = giveUp;
  }

  take(fn: FunctionObject): void {
    const { generation, patience = 1, before, onWait } = this.#options;
    if ((fn.status?.observedGeneration ?? 0) < generation || isAsBefore(fn, before)) return;
    const { status, reason = "", message = "" } = conditionOf(fn, "ServiceReady") ?? {};
    // Of a build its own lines tell.
    const waitsFor =
      status === "Unknown" && message !== "" && !ordinary.includes(reason) ? `${reason}: ${message}` : "";
    if (waitsFor !== this.#told) onWait(waitsFor);
    this.#told = waitsFor;
    if (reason === this.#reason) return;
    this.end();
    this.#reason = reason;
    const ms = patienceMs[reason];
    if (waitsFor === "" || ms === undefined) return;
    const giveUp = (): void => this.#giveUp(new FunctionFailed(this.#told, { isTriedAgain: true }));
    this.#timer = setTimeout(giveUp, ms * patience);
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}
