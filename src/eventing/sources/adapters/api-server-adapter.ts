/**
 * Sends an ApiServerSource's events: a watch for each resource and namespace, as the user's service account, one event after another. The place is the resource version up to which events were taken, so that a restart goes on
 * where it was. When the server has forgotten that version, what has changed since is found by comparing; what was deleted meanwhile is not known any more, which is logged.
 *
 * What exists when a source is made gives no events, as upstream.
 */
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { parseApiVersion } from "#apimachinery/meta.ts";
import { formatLabelSelector } from "#apimachinery/label-selector.ts";
import { StatusError, type Status } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import { compileFilter } from "#eventing/filters/compile-filter.ts";
import type { ApiServerSource, ResourceSelector } from "#eventing/sources/kinds.ts";
import { apiServerEvent, type ApiServerVerb } from "#eventing/sources/source-events.ts";
import type { AdapterKind } from "./adapter-set.ts";
import type { SourceAdaptersContext } from "./adapter-context.ts";
import { deliver, sourceRef, targetOf, withOverrides } from "./deliver.ts";

const pageSize = 500;
const pauseMs = 1000;
const watchSeconds = 540;

export function apiServerAdapter(context: SourceAdaptersContext): AdapterKind<ApiServerSource> {
  return {
    name: "apiserversource",
    fingerprint(source) {
      const { spec, status } = source;
      if (targetOf(source) === undefined || !isPermitted(source)) return undefined;
      return JSON.stringify([spec, targetOf(source), status?.namespaces]);
    },
    run: (source, signal) => run(context, source, signal),
    placePrefix: "apiserver",
  };
}

/** One watch. */
type Watch = {
  readonly source: ApiServerSource;
  readonly client: Client;
  readonly resource: GroupVersionResource;
  readonly namespace: string | undefined;
  readonly labelSelector: string | undefined;
  readonly placeKey: string;
  readonly send: (verb: ApiServerVerb, object: KubeObject) => Promise<void>;
  readonly signal: AbortSignal;
};

function isPermitted({ status }: ApiServerSource): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === "SufficientPermissions" && is === "True") === true;
}

async function run(context: SourceAdaptersContext, source: ApiServerSource, signal: AbortSignal): Promise<void> {
  const { namespace = "", uid = "" } = source.metadata ?? {};
  const { resources = [], serviceAccountName = "default", namespaceSelector } = source.spec ?? {};
  const client = context.clientFor({ namespace, name: serviceAccountName });
  const isEverywhere = namespaceSelector !== undefined && isEmpty(namespaceSelector);
  const namespaces = isEverywhere ? [undefined] : (source.status?.namespaces ?? [namespace]);
  const watches = resources.map(async (selector) => {
    const { resource, isNamespaced } = await findResource(client, selector, signal);
    const send = senderOf(context, source, resource.resource, signal);
    const labelSelector = selector.selector === undefined ? undefined : formatLabelSelector(selector.selector);
    const places = isNamespaced ? namespaces : [undefined];
    const all = places.map((one) => {
      const placeKey = `${placePrefix(uid)}${JSON.stringify([resource, one ?? "", labelSelector ?? ""])}`;
      return follow(context, { source, client, resource, namespace: one, labelSelector, placeKey, send, signal });
    });
    await Promise.all(all);
  });
  await Promise.all(watches);
}

function isEmpty({
  matchLabels,
  matchExpressions,
}: NonNullable<NonNullable<ApiServerSource["spec"]>["namespaceSelector"]>): boolean {
  return Object.keys(matchLabels ?? {}).length === 0 && (matchExpressions ?? []).length === 0;
}

/** Throws when the server has no such kind: it may get it later. */
async function findResource(
  client: Client,
  { apiVersion = "", kind = "" }: ResourceSelector,
  signal: AbortSignal,
): Promise<{ readonly resource: GroupVersionResource; readonly isNamespaced: boolean }> {
  const { group, version } = parseApiVersion(apiVersion);
  const path = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
  const { body } = await client.transport.request({ method: "GET", path, signal });
  const { resources = [] } = body as { resources?: { name: string; kind: string; namespaced: boolean }[] };
  const found = resources.find((one) => one.kind === kind && !one.name.includes("/"));
  if (found === undefined) throw new Error(`the server has no kind ${kind} in ${apiVersion}`);
  return { resource: { group, version, resource: found.name }, isNamespaced: found.namespaced };
}

function senderOf(
  context: SourceAdaptersContext,
  source: ApiServerSource,
  resource: string,
  signal: AbortSignal,
): Watch["send"] {
  const { spec = {}, metadata = {} } = source;
  const filter = compileFilter(spec.filters === undefined ? {} : { filters: spec.filters });
  const { mode = "Reference", owner, ceOverrides } = spec;
  return async (verb, object) => {
    if (owner !== undefined && !isControlledBy(object, owner)) return;
    const options = { source: context.apiServerUrl, uid: metadata.uid ?? "", mode, verb, object, resource };
    const event = apiServerEvent(options);
    const target = targetOf(source);
    if (target === undefined || filter?.(event) === false) return;
    await deliver(context, {
      event: withOverrides(event, ceOverrides),
      target,
      source: sourceRef("apiserversource", source),
      signal,
    });
  };
}

function isControlledBy(
  { metadata }: KubeObject,
  owner: { readonly apiVersion?: string; readonly kind?: string },
): boolean {
  const controller = metadata?.ownerReferences?.find(({ controller: is }) => is === true);
  return controller?.apiVersion === owner.apiVersion && controller?.kind === owner.kind;
}

/** Ends with the signal only. */
async function follow(context: SourceAdaptersContext, watch: Watch): Promise<void> {
  const { clock, logger, places } = context;
  const { signal, source } = watch;
  for (;;) {
    signal.throwIfAborted();
    try {
      const from = readPlace(context, watch.placeKey) ?? (await begin(context, watch));
      await consume(context, watch, from);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof StatusError && error.code === 410) {
        await catchUp(context, watch);
        continue;
      }
      const { namespace, name } = source.metadata ?? {};
      logger.warn("Watch of a source failed", {
        apiserversource: `${namespace}/${name}`,
        resource: watch.resource.resource,
        error,
      });
    }
    await places.flush();
    await clock.sleep(pauseMs, signal);
  }
}

type Place = { readonly resourceVersion: string; readonly timeMs: number };

function readPlace({ places }: SourceAdaptersContext, key: string): Place | undefined {
  const bytes = places.get(key);
  return bytes === undefined ? undefined : (JSON.parse(Buffer.from(bytes).toString()) as Place);
}

function writePlace({ places, clock }: SourceAdaptersContext, key: string, resourceVersion: string | undefined): void {
  if (resourceVersion === undefined || resourceVersion === "") return;
  places.set(key, Buffer.from(JSON.stringify({ resourceVersion, timeMs: clock.now() } satisfies Place)));
}

async function begin(context: SourceAdaptersContext, watch: Watch): Promise<Place> {
  const { metadata } = await watch.client.list(refOf(watch), { ...selectorOf(watch), limit: 1, signal: watch.signal });
  writePlace(context, watch.placeKey, metadata.resourceVersion);
  await context.places.flush({ isDurable: true });
  return { resourceVersion: metadata.resourceVersion ?? "", timeMs: context.clock.now() };
}

async function consume(context: SourceAdaptersContext, watch: Watch, { resourceVersion }: Place): Promise<void> {
  const { client, signal, placeKey, send } = watch;
  const options = {
    ...selectorOf(watch),
    resourceVersion,
    allowWatchBookmarks: true,
    timeoutSeconds: watchSeconds,
    signal,
  };
  for await (const { type, object } of await client.watch(refOf(watch), options)) {
    if (type === "ERROR") throw StatusError.fromStatus(object as Partial<Status>);
    if (type !== "BOOKMARK") await send(verbs[type], object);
    writePlace(context, placeKey, object.metadata?.resourceVersion);
    await context.places.flush();
  }
}

const verbs = { ADDED: "add", MODIFIED: "update", DELETED: "delete" } as const;

/** The server no longer knows the place: what has a later version than that has been made or changed since. */
async function catchUp(context: SourceAdaptersContext, watch: Watch): Promise<void> {
  const { client, signal, placeKey, send, source } = watch;
  const place = readPlace(context, placeKey);
  const { namespace, name } = source.metadata ?? {};
  const which = { apiserversource: `${namespace}/${name}`, resource: watch.resource.resource };
  context.logger.warn(
    "Source was away for longer than the server remembers: deletions of that time give no events",
    which,
  );
  let token: string | undefined;
  let resourceVersion: string | undefined;
  do {
    const page = await client.list(refOf(watch), {
      ...selectorOf(watch),
      limit: pageSize,
      ...(token && { continue: token }),
      signal,
    });
    resourceVersion ??= page.metadata.resourceVersion;
    for (const object of page.items)
      if (place !== undefined && isAfter(object, place))
        await send(wasMadeAfter(object, place) ? "add" : "update", object);
    token = page.metadata.continue;
  } while (token !== undefined && token !== "");
  writePlace(context, placeKey, resourceVersion);
  await context.places.flush({ isDurable: true });
}

/** Resource versions may be compared as numbers since Kubernetes 1.35. */
function isAfter({ metadata }: KubeObject, { resourceVersion }: Place): boolean {
  return BigInt(metadata?.resourceVersion ?? 0) > BigInt(resourceVersion);
}

function wasMadeAfter({ metadata }: KubeObject, { timeMs }: Place): boolean {
  return Date.parse(metadata?.creationTimestamp ?? "") > timeMs;
}

function refOf({ resource, namespace }: Watch): {
  readonly resource: GroupVersionResource;
  readonly namespace?: string;
} {
  return namespace === undefined ? { resource } : { resource, namespace };
}

function selectorOf({ labelSelector }: Watch): { readonly labelSelector?: string } {
  return labelSelector === undefined || labelSelector === "" ? {} : { labelSelector };
}

function placePrefix(uid: string): string {
  return `apiserver/${uid}/`;
}
