/**
 * Controllers of sources whose events are sent by the cluster itself (`adapters/`): what is to be done is to find the sink, and whatever else the adapter must know.
 */
import { compileLabelSelector, matchesSelector } from "#apimachinery/label-selector.ts";
import { parseApiVersion, type KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import type { NamedController } from "#client/controller.ts";
import type { EventingContext } from "#eventing/common/context.ts";
import { ensureIdentity } from "#eventing/common/identity.ts";
import {
  type ApiServerSource,
  apiServerSources,
  type BucketListing,
  type GitSource,
  gitSources,
  nodelessGroup,
  type ObjectSource,
  objectSources,
  type PingSource,
  pingSources,
  type Source,
  sourcesGroup,
} from "#eventing/sources/kinds.ts";
import {
  apiServerEventType,
  gitEventSource,
  gitPushEventType,
  objectEventSource,
  objectEventType,
  pingEventSource,
  pingEventType,
} from "#eventing/sources/source-events.ts";
import { isFalse, isTrue, isUnknown, type Mark } from "#knative/conditions.ts";
import { KindController, type Look } from "#knative/kind-controller.ts";
import { resourceOf, UnknownKind } from "#knative/tracker.ts";
import { resolveSink } from "./resolve-sink.ts";

export function createPingSourceController(context: EventingContext): NamedController {
  return following(
    context,
    new KindController<PingSource>(context, {
      name: "pingsource",
      kind: "PingSource",
      resource: pingSources,
      dependents: ["SinkProvided", "Deployed", "OIDCIdentityCreated"],
      async look(source, look) {
        const { namespace = "", name = "" } = source.metadata ?? {};
        const identity = await ensureIdentity(context, source, { group: sourcesGroup, kind: "PingSource" }, look);
        const sink = await resolveSink(source, look);
        if (sink === undefined) return identity;
        look.conditions.mark("Deployed", isTrue);
        return {
          ...sink,
          ...identity,
          ceAttributes: [{ type: pingEventType, source: pingEventSource(namespace, name) }],
        };
      },
    }),
  );
}

/** Looks at all sources again when a feature is switched. */
function following<T extends Source>(context: EventingContext, controller: KindController<T>): KindController<T> {
  context.config.onChange(() => controller.enqueueAll());
  return controller;
}

const namespaces = { group: "", version: "v1", resource: "namespaces" };

/** `apiServerUrl` is what the events name as their source. */
export function createApiServerSourceController(context: EventingContext, apiServerUrl: string): NamedController {
  const controller: KindController<ApiServerSource> = new KindController<ApiServerSource>(context, {
    name: "apiserversource",
    kind: "ApiServerSource",
    resource: apiServerSources,
    dependents: ["SinkProvided", "Deployed", "SufficientPermissions", "OIDCIdentityCreated"],
    async look(source, look) {
      const { conditions, signal } = look;
      const { mode = "Reference" } = source.spec ?? {};
      const identity = await ensureIdentity(context, source, { group: sourcesGroup, kind: "ApiServerSource" }, look);
      const sink = await resolveSink(source, look);
      if (sink === undefined) return identity;
      const watched = namespacesOf(source, all.lister.list());
      const permission = await checkPermissions(context.client, source, watched, signal);
      conditions.mark("SufficientPermissions", permission);
      // Nobody tells when a role is given: it is asked again.
      if (permission.status !== "True") look.retry(new Error(`insufficient permissions: ${permission.message}`));
      conditions.mark("Deployed", isTrue);
      const types = (["add", "delete", "update"] as const).map((verb) => apiServerEventType(mode, verb));
      return {
        ...sink,
        ...identity,
        namespaces: watched,
        ceAttributes: types.map((type) => ({ type, source: apiServerUrl })),
      };
    },
  });
  const all = controller.watch<KubeObject>(namespaces, () =>
    controller.objects.lister
      .list()
      .filter(({ spec }) => spec?.namespaceSelector !== undefined)
      .map(({ metadata }) => `${metadata?.namespace}/${metadata?.name}`),
  );
  return following(context, controller);
}

function namespacesOf({ metadata, spec }: ApiServerSource, all: readonly KubeObject[]): readonly string[] {
  if (spec?.namespaceSelector === undefined) return [metadata?.namespace ?? ""];
  const selector = compileLabelSelector(spec.namespaceSelector);
  return all
    .filter((one) => matchesSelector(selector, one.metadata?.labels ?? {}))
    .map((one) => one.metadata?.name ?? "")
    .toSorted();
}

const skipPermissions = "features.knative.dev/apiserversource-skip-permissions-check";
const accessReviews = { group: "authorization.k8s.io", version: "v1", resource: "subjectaccessreviews" };

/** Whether the source's service account may see what it is to tell of. */
async function checkPermissions(
  client: Client,
  source: ApiServerSource,
  watched: readonly string[],
  signal: AbortSignal,
): Promise<Mark> {
  if (source.metadata?.annotations?.[skipPermissions] === "true") return isTrue;
  const { resources = [], serviceAccountName = "default" } = source.spec ?? {};
  const user = `system:serviceaccount:${source.metadata?.namespace}:${serviceAccountName}`;
  const missing = await Promise.all(
    resources.flatMap(({ apiVersion = "", kind = "" }) => {
      const { group } = parseApiVersion(apiVersion);
      const { resource } = resourceOf({ apiVersion, kind });
      return watched.map(async (namespace) => {
        const about = { namespace, group, resource };
        const verbs = await missingVerbs(client, user, about, signal);
        if (verbs.length === 0) return [];
        return [`${verbs.join(", ")} resource "${resource}" in API group "${group}" in Namespace "${namespace}"`];
      });
    }),
  );
  const all = missing.flat();
  return all.length === 0 ? isTrue : isFalse("", `User ${user} cannot ${all.join(", ")}`);
}

async function missingVerbs(
  client: Client,
  user: string,
  about: { readonly namespace: string; readonly group: string; readonly resource: string },
  signal: AbortSignal,
): Promise<readonly string[]> {
  const verbs = ["get", "list", "watch"];
  const answers = await Promise.all(
    verbs.map(async (verb) => {
      const spec = { user, resourceAttributes: { ...about, verb } };
      const review = { apiVersion: "authorization.k8s.io/v1", kind: "SubjectAccessReview", spec } as KubeObject;
      const { status } = await client.create<KubeObject & { status?: { allowed?: boolean } }>(
        { resource: accessReviews },
        review,
        { signal },
      );
      return status?.allowed === true;
    }),
  );
  return verbs.filter((_, index) => answers[index] !== true);
}

type Claim = KubeObject & { readonly spec?: { readonly volumeName?: string } };
type Volume = KubeObject & {
  readonly spec?: { readonly hostPath?: { readonly path?: string }; readonly local?: { readonly path?: string } };
};

/** `bucketFolder` says where on this machine a bucket of a namespace lies. */
export function createObjectSourceController(
  context: EventingContext,
  bucketFolder: (namespace: string, bucket: string) => string,
): NamedController {
  return following(
    context,
    new KindController<ObjectSource>(context, {
      name: "objectsource",
      kind: "ObjectSource",
      resource: objectSources,
      dependents: ["SinkProvided", "BucketFound", "Deployed", "OIDCIdentityCreated"],
      async look(source, look): Promise<ObjectStatus> {
        const { namespace = "", name = "" } = source.metadata ?? {};
        const sink = await resolveSink(source, look);
        const identity = await ensureIdentity(context, source, { group: nodelessGroup, kind: "ObjectSource" }, look);
        const place = await placeOf(source, look, bucketFolder);
        look.conditions.mark("BucketFound", place.mark);
        if (sink === undefined || place.status === undefined) return { ...identity, ...place.status };
        look.conditions.mark("Deployed", isTrue);
        const types = (["created", "updated", "deleted"] as const).map((verb) => objectEventType(verb));
        const from = objectEventSource(namespace, name);
        return { ...sink, ...identity, ...place.status, ceAttributes: types.map((type) => ({ type, source: from })) };
      },
    }),
  );
}

type ObjectPlace = { readonly mark: Mark; readonly status: Pick<ObjectStatus, "path" | "listing"> | undefined };
type ObjectStatus = NonNullable<ObjectSource["status"]>;

/** Where the objects are: a folder, or a bucket of which the adapter has said how it found it. */
async function placeOf(
  { metadata, spec = {}, status }: ObjectSource,
  { find }: Look,
  bucketFolder: (namespace: string, bucket: string) => string,
): Promise<ObjectPlace> {
  const { namespace = "", generation } = metadata ?? {};
  const { bucket, persistentVolumeClaim, s3 } = spec;
  if (s3 !== undefined) {
    const { listing } = status ?? {};
    return { mark: bucketMark(listing, generation), status: listing === undefined ? {} : { listing } };
  }
  if (bucket !== undefined) return { mark: isTrue, status: { path: bucketFolder(namespace, bucket) } };
  const { claimName = "" } = persistentVolumeClaim ?? {};
  const path = await volumeFolder(namespace, claimName, find);
  if (path !== undefined) return { mark: isTrue, status: { path } };
  return { mark: isFalse("NotFound", `no volume of this machine is bound to claim ${claimName}`), status: undefined };
}

function bucketMark(listing: BucketListing | undefined, generation: number | undefined): Mark {
  if (listing === undefined || listing.observedGeneration !== generation)
    return isUnknown("NotYetListed", "the bucket has not been looked at yet");
  return listing.reason === undefined ? isTrue : isFalse(listing.reason, listing.message ?? "");
}

async function volumeFolder(
  namespace: string,
  name: string,
  find: <T extends KubeObject>(reference: {
    readonly apiVersion: string;
    readonly kind: string;
    readonly namespace?: string;
    readonly name: string;
  }) => Promise<T | undefined>,
): Promise<string | undefined> {
  const claim = await find<Claim>({ apiVersion: "v1", kind: "PersistentVolumeClaim", namespace, name });
  const volumeName = claim?.spec?.volumeName;
  if (volumeName === undefined) return undefined;
  const volume = await find<Volume>({ apiVersion: "v1", kind: "PersistentVolume", name: volumeName });
  return volume?.spec?.hostPath?.path ?? volume?.spec?.local?.path;
}

export function createGitSourceController(context: EventingContext): NamedController {
  return following(
    context,
    new KindController<GitSource>(context, {
      name: "gitsource",
      kind: "GitSource",
      resource: gitSources,
      dependents: ["SinkProvided", "RepositoryFound", "Deployed", "OIDCIdentityCreated"],
      async look(source, look) {
        const { namespace = "" } = source.metadata ?? {};
        const { repository } = source.spec ?? {};
        const sink = await resolveSink(source, look);
        const isFound = repository === undefined || (await findRepository(look, namespace, repository)) !== undefined;
        const problem = isFalse("NotFound", `Repository ${JSON.stringify(repository)} does not exist`);
        look.conditions.mark("RepositoryFound", isFound ? isTrue : problem);
        const identity = await ensureIdentity(context, source, { group: nodelessGroup, kind: "GitSource" }, look);
        if (sink === undefined) return identity;
        look.conditions.mark("Deployed", isTrue);
        return {
          ...sink,
          ...identity,
          ceAttributes: [{ type: gitPushEventType, source: gitEventSource(namespace, repository ?? "*") }],
        };
      },
    }),
  );
}

/** Clusters may have no such kind. */
async function findRepository({ find }: Look, namespace: string, name: string): Promise<KubeObject | undefined> {
  try {
    return await find({ apiVersion: "nodeless.dev/v1alpha1", kind: "Repository", namespace, name });
  } catch (error) {
    if (error instanceof UnknownKind) return undefined;
    throw error;
  }
}
