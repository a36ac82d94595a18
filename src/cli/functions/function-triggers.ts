/**
 * What a function runs on, as words (`--on`): each stands for an ordinary object, a source or a Trigger, that belongs to the Function and sends its events there. kubectl sees and edits them like any other.
 *
 *     cron: 0 3 * * *                    PingSource (TZ=Europe/Berlin may stand before the schedule)
 *     type = order.created               Trigger on the Broker "default", which is made when there is none
 *     type LIKE 'order.%' AND …          the same, with an expression in CESQL
 *     push, push: site, push: site@main  GitSource
 *     object: uploads/*.png              ObjectSource with the files themselves
 *     object: s3://uploads/*.png         the same of an S3-compatible service, by Secret s3-credentials
 *     object: s3://SECRET@uploads/*.png  … by another Secret
 */
import { createHash } from "node:crypto";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import { ensureDeleted } from "#client/find-object.ts";
import { UserError } from "#cli/command.ts";
import type { FunctionObject } from "#api/nodeless/function.ts";

/** On each such object: the function's name. */
export const ownerLabel = "nodeless.dev/on-function";
/** On each such object: the words. */
export const wordsAnnotation = "nodeless.dev/on";

const fieldManager = "nodeless-fn";
/** The kinds come a moment after the cluster. */
const servedWithinMs = 60_000;
const lookAgainMs = 250;
const readyWithinSeconds = 15;

type Kind = { readonly kind: string; readonly resource: GroupVersionResource; readonly short: string };

const ping: Kind = {
  kind: "PingSource",
  short: "cron",
  resource: { group: "sources.knative.dev", version: "v1", resource: "pingsources" },
};
const trigger: Kind = {
  kind: "Trigger",
  short: "event",
  resource: { group: "eventing.knative.dev", version: "v1", resource: "triggers" },
};
const git: Kind = {
  kind: "GitSource",
  short: "push",
  resource: { group: "nodeless.dev", version: "v1alpha1", resource: "gitsources" },
};
const object: Kind = {
  kind: "ObjectSource",
  short: "object",
  resource: { group: "nodeless.dev", version: "v1alpha1", resource: "objectsources" },
};
const kinds: readonly Kind[] = [ping, trigger, git, object];

/** What some words stand for. */
export type FunctionTrigger = {
  readonly words: string;
  readonly kind: Kind;
  readonly spec: object;
  readonly annotations?: object;
};

type TriggerObject = KubeObject & {
  readonly status?: {
    readonly path?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
  };
};

/** What `--on` was given; undefined when it was not. `none` alone is none. Throws UserError. */
export function parseTriggers(given: readonly string[] | undefined): readonly FunctionTrigger[] | undefined {
  if (given === undefined) return undefined;
  if (given.length === 1 && given[0] === "none") return [];
  return [...new Set(given.map((words) => words.trim()))].map(parseTrigger);
}

function parseTrigger(words: string): FunctionTrigger {
  const [, head = "", rest = ""] = /^(cron|push|object)\s*(?::\s*(.*))?$/s.exec(words) ?? [];
  switch (head) {
    case "cron":
      if (rest === "") throw wrong(words, "cron: wants a schedule, such as cron: */5 * * * *");
      return { words, kind: ping, spec: { schedule: rest } };
    case "push":
      return { words, kind: git, spec: gitSpec(words, rest) };
    case "object":
      return { words, kind: object, spec: objectSpec(words, rest) };
    default:
      return eventTrigger(words);
  }
}

function gitSpec(words: string, rest: string): object {
  if (rest === "") return {};
  const [, repository, branches] = /^([a-z0-9][-a-z0-9.]*)(?:@(\S+))?$/.exec(rest) ?? [];
  if (repository === undefined)
    throw wrong(words, "push: wants a Repository, and branches when they matter: push: site@main,feature/*");
  return { repository, ...(branches === undefined ? {} : { branches: branches.split(",") }) };
}

/** Secret of the buckets that name none. */
const usualSecret = "s3-credentials";

function objectSpec(words: string, rest: string): object {
  if (rest.startsWith("s3:")) return bucketSpec(words, rest);
  const [, bucket, pattern] = /^([a-z0-9][-a-z0-9]*)(?:\/(\S+))?$/.exec(rest) ?? [];
  if (bucket === undefined)
    throw wrong(words, "object: wants a bucket, and a pattern when not all files matter: object: uploads/*.png");
  return { bucket, mode: "Content", ...(pattern === undefined ? {} : { pattern }) };
}

function bucketSpec(words: string, rest: string): object {
  const [, secret = usualSecret, bucket, pattern] =
    /^s3:\/\/(?:([a-z0-9][-a-z0-9.]*)@)?([A-Za-z0-9][-A-Za-z0-9._]+)(?:\/(\S*))?$/.exec(rest) ?? [];
  if (bucket === undefined)
    throw wrong(
      words,
      "object: s3: wants a bucket, and a pattern when not all objects matter: object: s3://uploads/*.png, or with the name of its Secret object: s3://keys@uploads/*.png",
    );
  return { s3: { bucket, secretRef: { name: secret } }, mode: "Content", ...(pattern ? { pattern } : {}) };
}

/** NAME = VALUE, several with `and`, is a filter of attributes; anything else an expression, which the cluster looks at. */
function eventTrigger(words: string): FunctionTrigger {
  const parts = words.split(/\s+and\s+/i).map((part) => /^([a-z0-9]+)\s*=\s*([^\s'"=]+)$/.exec(part));
  const isPlain = parts.every((part) => part !== null);
  if (!isPlain && !/[=<>]|\b(?:like|in|exists|not)\b/i.test(words))
    throw wrong(
      words,
      'say "cron: SCHEDULE", "object: BUCKET/PATTERN", "push", or what events must be: "type = order.created"',
    );
  const attributes = Object.fromEntries(parts.map((part) => [part?.[1] ?? "", part?.[2] ?? ""]));
  return {
    words,
    kind: trigger,
    spec: { broker: "default", ...(isPlain ? { filter: { attributes } } : { filters: [{ cesql: words }] }) },
    annotations: { "eventing.knative.dev/injection": "enabled" },
  };
}

function wrong(words: string, problem: string): UserError {
  return new UserError(`--on "${words}": ${problem}`, { exitCode: 2 });
}

/** Has the API server look at the objects, of a Function that need not be there yet. Throws UserError for what it refuses. */
export async function checkTriggers(
  client: Client,
  fn: FunctionObject,
  triggers: readonly FunctionTrigger[],
): Promise<void> {
  for (const one of triggers) await write(client, one, objectOf(fn, one), true);
}

/** Writes the objects, takes away those that are not named any more, and gives a line for each once it is ready. */
export async function applyTriggers(
  client: Client,
  fn: FunctionObject,
  triggers: readonly FunctionTrigger[],
): Promise<readonly string[]> {
  const wanted = triggers.map((one) => ({ one, made: objectOf(fn, one) }));
  for (const { one, made } of wanted) await write(client, one, made);
  const names = new Set(wanted.map(({ made }) => made.metadata?.name));
  for (const { kind, found } of await findTriggers(client, fn))
    if (!names.has(found.metadata?.name)) await remove(client, kind, found);
  return await Promise.all(wanted.map(({ one, made }) => readyLine(client, one, made)));
}

/** The objects that belong to a function. */
export async function findTriggers(
  client: Client,
  { metadata }: FunctionObject,
): Promise<readonly { readonly kind: Kind; readonly found: TriggerObject }[]> {
  const { namespace = "", name = "" } = metadata ?? {};
  const all = await Promise.all(
    kinds.map(async (kind) => {
      try {
        const { items } = await client.list<TriggerObject>(
          { resource: kind.resource, namespace },
          { labelSelector: `${ownerLabel}=${name}` },
        );
        return items.map((found) => ({ kind, found }));
      } catch (error) {
        if (hasReason(error, "NotFound")) return [];
        throw error;
      }
    }),
  );
  return all.flat();
}

/** Lines of `fn describe`. */
export async function triggerLines(client: Client, fn: FunctionObject): Promise<readonly string[]> {
  const found = await findTriggers(client, fn);
  if (found.length === 0) return [];
  return ["", "Runs on:", ...found.map(({ kind, found: one }) => `  ${describe(kind, one)}`)];
}

function describe({ resource }: Kind, found: TriggerObject): string {
  const words = found.metadata?.annotations?.[wordsAnnotation] ?? found.metadata?.name ?? "";
  const ready = found.status?.conditions?.find(({ type }) => type === "Ready");
  const state = ready?.status === "True" ? "" : `, not ready${ready?.message ? `: ${ready.message}` : ""}`;
  const path = found.status?.path === undefined ? "" : `, files in ${found.status.path}`;
  return `${words}  (${resource.resource}/${found.metadata?.name}${state}${path})`;
}

function objectOf({ metadata }: FunctionObject, { words, kind, spec, annotations }: FunctionTrigger): KubeObject {
  const { name = "", namespace = "", uid = "" } = metadata ?? {};
  const { group, version } = kind.resource;
  const owner = { apiVersion: "nodeless.dev/v1alpha1", kind: "Function", name };
  const target = { ref: { ...owner, namespace } };
  const hash = createHash("sha256").update(words).digest("hex").slice(0, 8);
  return {
    apiVersion: `${group}/${version}`,
    kind: kind.kind,
    metadata: {
      name: `${name.slice(0, 45)}-${kind.short}-${hash}`,
      namespace,
      labels: { [ownerLabel]: name },
      annotations: { ...annotations, [wordsAnnotation]: words },
      ownerReferences: [{ ...owner, uid, controller: true }],
    },
    spec: kind === trigger ? { ...spec, subscriber: target } : { ...spec, sink: target },
  } as KubeObject;
}

async function write(
  client: Client,
  { kind, words }: FunctionTrigger,
  made: KubeObject,
  dryRun: boolean = false,
): Promise<void> {
  const { namespace = "", name = "" } = made.metadata ?? {};
  const ref = { resource: kind.resource, namespace, name };
  for (const endMs = Date.now() + servedWithinMs; ; ) {
    try {
      await client.patch(ref, { type: "apply", body: made }, { fieldManager, force: true, dryRun });
      return;
    } catch (error) {
      if (!hasReason(error, "NotFound")) throw wrong(words, whatIsWrong(error as Error));
      if (Date.now() > endMs)
        throw new UserError("the cluster has no Knative Eventing: nodeless up --eventing brings it", { cause: error });
    }
    await new Promise((resolve) => setTimeout(resolve, lookAgainMs));
  }
}

/** Without the names of who looked at it. */
function whatIsWrong({ message }: Error): string {
  return message.replace(/^admission webhook "[^"]*" denied the request: (?:validation failed: )?/, "");
}

async function remove(client: Client, kind: Kind, { metadata }: TriggerObject): Promise<void> {
  const { namespace = "", name = "" } = metadata ?? {};
  await ensureDeleted(client, { resource: kind.resource, namespace, name }, {});
}

/** Follows the object until it is ready, or for a while: it becomes ready without us too. */
async function readyLine(client: Client, { kind }: FunctionTrigger, made: KubeObject): Promise<string> {
  const { namespace = "", name = "" } = made.metadata ?? {};
  const options = { fieldSelector: `metadata.name=${name}`, timeoutSeconds: readyWithinSeconds };
  let last: TriggerObject = made;
  for await (const { type, object: seen } of await client.watch<TriggerObject>(
    { resource: kind.resource, namespace },
    options,
  )) {
    if (type !== "ADDED" && type !== "MODIFIED") continue;
    last = seen;
    if (seen.status?.conditions?.some((one) => one.type === "Ready" && one.status === "True")) break;
  }
  return describe(kind, last);
}
