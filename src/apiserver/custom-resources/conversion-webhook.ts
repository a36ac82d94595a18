/**
 * Conversion of custom resources by a webhook: ConversionReviews, and what is checked of their answers. Rules and words as apiextensions-apiserver's pkg/apiserver/conversion, v1.36.
 */
import { randomUUID } from "node:crypto";
import { Agent } from "node:https";
import type { CustomResourceDefinition, WebhookConversion } from "#api/generated/types/apiextensions-v1.ts";
import { deepFreeze } from "#apimachinery/freeze.ts";
import { isJsonObject, type JsonObject } from "#apimachinery/json.ts";
import { type KubeObject, type ObjectMeta, parseApiVersion } from "#apimachinery/meta.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import { callWebhook } from "#apiserver/connect/webhook-call.ts";
import { callWhenThere, type WebhookPlace } from "#apiserver/connect/when-there.ts";
import type { Client } from "#client/client.ts";

/** As upstream; not to be configured. */
const timeoutSeconds = 30;
/** A list may be long. */
const maxAnswerBytes = 256 << 20;
const maxConnections = 8;

type Review = {
  readonly kind?: string;
  readonly apiVersion?: string;
  readonly response?: {
    readonly uid?: string;
    readonly result?: { readonly status?: string; readonly message?: string };
    readonly convertedObjects?: readonly KubeObject[];
  } | null;
};

/** The webhook of one definition. Made once for it, so that watches that run on follow a change of its address or certificate. */
export class ConversionWebhook {
  readonly #client: Client;
  readonly #agent: Agent = new Agent({ keepAlive: true, maxSockets: maxConnections });
  /** Single objects on their way: many watches ask for the same one at once. */
  readonly #underWay = new Map<KubeObject, Map<string, Promise<KubeObject>>>();
  #webhook: WebhookConversion | undefined;

  constructor(client: Client) {
    this.#client = client;
  }

  /** Takes over what the definition says. */
  follow(definition: CustomResourceDefinition): void {
    this.#webhook = definition.spec.conversion?.webhook;
  }

  /** Closes idle connections. */
  close(): void {
    this.#agent.destroy();
  }

  /** One object in another version; frozen, with its own metadata but for labels and annotations. Throws StatusError 500. */
  convertOne(object: KubeObject, apiVersion: string): Promise<KubeObject> {
    if (object.apiVersion === apiVersion) return Promise.resolve(object);
    const byVersion = this.#underWay.get(object) ?? new Map<string, Promise<KubeObject>>();
    const there = byVersion.get(apiVersion);
    if (there !== undefined) return there;
    const name = kindText(object.apiVersion, object.kind);
    const conversion = this.#convert([object], apiVersion, name)
      .then(([converted]) => checked(object, converted, { apiVersion, index: 0, of: `${name} returned invalid` }))
      .finally(() => this.#underWay.delete(object));
    this.#underWay.set(object, byVersion.set(apiVersion, conversion));
    return conversion;
  }

  /** Objects in another version, in one call; those that are in it already stay as they are. */
  async convertList(objects: readonly KubeObject[], apiVersion: string): Promise<readonly KubeObject[]> {
    const others = objects.filter((object) => object.apiVersion !== apiVersion);
    const [first] = others;
    if (first === undefined) return objects;
    const name = kindText(apiVersion, `${first.kind}List`);
    const converted = await this.#convert(others, apiVersion, name);
    const fitting = converted.map((object, index) =>
      checked(others[index] as KubeObject, object, { apiVersion, index, of: `${name} returned invalid converted` }),
    );
    let next = 0;
    return objects.map((object) => (object.apiVersion === apiVersion ? object : (fitting[next++] as KubeObject)));
  }

  async #convert(objects: readonly KubeObject[], apiVersion: string, name: string): Promise<readonly KubeObject[]> {
    const webhook = this.#webhook;
    const version = webhook?.conversionReviewVersions.find((each) => each === "v1" || each === "v1beta1");
    if (webhook?.clientConfig === undefined || version === undefined) {
      throw failed("no supported conversion review versions");
    }
    const uid = randomUUID();
    const head = { kind: "ConversionReview", apiVersion: `apiextensions.k8s.io/${version}` };
    const body = JSON.stringify({ ...head, request: { uid, desiredAPIVersion: apiVersion, objects } });
    const { clientConfig } = webhook;
    try {
      const answer = await callWhenThere(
        { clientConfig, timeoutSeconds },
        () => this.#place(),
        (place) => callWebhook(this.#client, { ...place, body, agent: this.#agent, maxAnswerBytes }),
      );
      const found = convertedObjects(answer as Review, version === "v1" ? uid : undefined);
      if (found.length === objects.length) return found;
      throw failed(`conversion webhook for ${name} returned ${found.length} objects, expected ${objects.length}`);
    } catch (error) {
      if (error instanceof StatusError) throw error;
      throw failed(`conversion webhook for ${name} failed: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #place(): WebhookPlace | undefined {
    const clientConfig = this.#webhook?.clientConfig;
    return clientConfig && { clientConfig, timeoutSeconds };
  }
}

/** What a review brings back. `uid` is what it must carry; v1beta1 never looked. */
function convertedObjects(review: Review, uid: string | undefined): readonly KubeObject[] {
  const { response } = review;
  if (uid !== undefined && (review.kind !== "ConversionReview" || review.apiVersion !== "apiextensions.k8s.io/v1")) {
    const got = kindText(review.apiVersion, review.kind);
    throw new Error(`expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got ${got}`);
  }
  if (response === undefined || response === null) throw new Error("no response provided");
  if (uid !== undefined && response.uid !== uid) {
    throw new Error(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response.uid ?? "")}`);
  }
  const { status = "", message = "" } = response.result ?? {};
  if (status !== "Success") {
    throw new Error(message === "" ? `response.result.status was '${status}', not 'Success'` : message);
  }
  return response.convertedObjects ?? [];
}

type Check = { readonly apiVersion: string; readonly index: number; readonly of: string };

/** The converted object, when it still is the same one, with the original's metadata. Only labels and annotations are the webhook's to change. */
function checked(original: KubeObject, converted: KubeObject | undefined, check: Check): KubeObject {
  const refuse = (why: string): StatusError =>
    failed(`conversion webhook for ${check.of} object at index ${check.index}: ${why}`);
  if (!isJsonObject(converted as JsonObject | undefined)) throw refuse("not an object");
  const { apiVersion, kind, metadata } = converted as KubeObject;
  if (apiVersion !== check.apiVersion) {
    throw refuse(`invalid groupVersion (expected ${check.apiVersion}, received ${apiVersion ?? ""})`);
  }
  if (kind !== original.kind) throw refuse(`invalid kind (expected ${original.kind}, received ${kind ?? ""})`);
  if (metadata === undefined) throw refuse("missing metadata in converted object");
  if (!isJsonObject(metadata as JsonObject)) throw refuse("invalid metadata in converted object");
  const before = original.metadata ?? {};
  for (const [key, shown] of [
    ["name", "name"],
    ["namespace", "namespace"],
    ["uid", "UID"],
  ] as const) {
    const was = before[key] ?? "";
    const is = metadata[key] ?? "";
    if (was !== is) throw refuse(`must have the same ${shown}: ${was} != ${is}`);
  }
  return deepFreeze({ ...(converted as KubeObject), metadata: withTexts(before, metadata, refuse) });
}

function withTexts(before: ObjectMeta, given: ObjectMeta, refuse: (why: string) => StatusError): ObjectMeta {
  const { labels: _labels, annotations: _annotations, ...kept } = before;
  const texts: Record<string, Readonly<Record<string, string>>> = {};
  for (const field of ["labels", "annotations"] as const) {
    const values = given[field];
    if (values === undefined || values === null) continue;
    for (const [key, value] of Object.entries(values)) {
      if (typeof value !== "string") throw refuse(`metadata.${field}[${key}] must be a string`);
    }
    texts[field] = values;
  }
  return { ...kept, ...texts };
}

/** As Go shows a group, version and kind: `example.com/v1, Kind=Foo`. */
function kindText(apiVersion = "", kind = ""): string {
  const { group, version } = parseApiVersion(apiVersion);
  return `${group}/${version}, Kind=${kind}`;
}

function failed(message: string): StatusError {
  return new StatusError({ reason: "Unknown", code: 500, message });
}
