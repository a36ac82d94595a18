/**
 * Mutating and validating admission webhooks. As apiserver's plugin/webhook. Missing: audit annotations.
 */
import type {
  MutatingWebhook,
  MutatingWebhookConfiguration,
  RuleWithOperations,
  ValidatingWebhookConfiguration,
} from "#api/generated/types/admissionregistration-v1.ts";
import type { Namespace } from "#api/generated/types/core-v1.ts";
import { isJsonObject, jsonEqual, type JsonObject } from "#apimachinery/json.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { applyJsonPatch } from "#apimachinery/patch/json-patch.ts";
import { badRequest, internalError, StatusError, type StatusReason } from "#apimachinery/status-error.ts";
import type { AdmissionAttributes, AdmissionPlugin, EquivalentWrite } from "#apiserver/admission.ts";
import type { Client } from "#client/client.ts";
import type { Informer } from "#client/informer.ts";
import { findNamespace, isExempt } from "./admission-request.ts";
import { matchesWrite } from "./match-resources.ts";
import type { AskedWebhook, Webhook, WebhookResponse } from "./webhook-client.ts";

type Configuration = ValidatingWebhookConfiguration | MutatingWebhookConfiguration;

export type WebhookOptions<T extends Configuration> = {
  readonly client: Client;
  readonly configurations: Informer<T>;
  readonly namespaces: Informer<Namespace>;
};

/** A webhook that was asked, and the object as it left it. */
type Called = { readonly webhook: MutatingWebhook; readonly left: KubeObject | undefined };

/** Webhooks that may change what is written: one after the other, and once more where they ask for it. */
export class MutatingWebhookPlugin implements AdmissionPlugin {
  readonly name = "MutatingAdmissionWebhook";
  readonly #options: WebhookOptions<MutatingWebhookConfiguration>;

  constructor(options: WebhookOptions<MutatingWebhookConfiguration>) {
    this.#options = options;
  }

  handles(attributes: AdmissionAttributes): boolean {
    return !isExempt(attributes) && this.#options.configurations.lister.list().length > 0;
  }

  async mutate(attributes: AdmissionAttributes): Promise<KubeObject | undefined> {
    const first = await this.#round(attributes, webhooksOf<MutatingWebhook>(this.#options.configurations));
    const again = first.called.filter(
      ({ webhook, left }) => webhook.reinvocationPolicy === "IfNeeded" && !jsonEqual(left, first.object),
    );
    if (again.length === 0) return first.object;
    const webhooks = again.map(({ webhook }) => webhook);
    return (await this.#round({ ...attributes, object: first.object }, webhooks)).object;
  }

  async #round(
    attributes: AdmissionAttributes,
    webhooks: readonly MutatingWebhook[],
  ): Promise<{ readonly object: KubeObject | undefined; readonly called: readonly Called[] }> {
    let { object } = attributes;
    const called: Called[] = [];
    for (const webhook of webhooks) {
      const now = { ...attributes, object };
      // oxlint-disable-next-line no-await-in-loop -- each webhook sees what the one before made of the object
      const answer = await call(this.#options, webhook, now);
      if (answer === undefined) continue;
      const { response, seen, equivalent } = answer;
      const left = patched(webhook, response, seen);
      // oxlint-disable-next-line no-await-in-loop
      if (response.patch) object = left === undefined ? undefined : ((await equivalent?.convertBack(left)) ?? left);
      called.push({ webhook, left: object });
    }
    return { object, called };
  }
}

/** Webhooks that only say yes or no: all at once. */
export class ValidatingWebhookPlugin implements AdmissionPlugin {
  readonly name = "ValidatingAdmissionWebhook";
  readonly #options: WebhookOptions<ValidatingWebhookConfiguration>;

  constructor(options: WebhookOptions<ValidatingWebhookConfiguration>) {
    this.#options = options;
  }

  handles(attributes: AdmissionAttributes): boolean {
    return !isExempt(attributes) && this.#options.configurations.lister.list().length > 0;
  }

  async validate(attributes: AdmissionAttributes): Promise<void> {
    const webhooks = webhooksOf<Webhook>(this.#options.configurations);
    await Promise.all(webhooks.map((webhook) => call(this.#options, webhook, attributes)));
  }
}

/** All webhooks in the order of their configurations' names. */
function webhooksOf<W extends Webhook>(configurations: Informer<Configuration & KubeObject>): readonly W[] {
  const sorted = configurations.lister
    .list()
    .toSorted((a, b) => ((a.metadata?.name ?? "") < (b.metadata?.name ?? "") ? -1 : 1));
  return sorted.flatMap(({ webhooks }) => (webhooks ?? []) as readonly W[]);
}

/** What a webhook answered to the write as it saw it: as it was asked for, or in another version of the resource. */
type WebhookAnswer = {
  readonly response: WebhookResponse;
  readonly seen: AdmissionAttributes;
  readonly equivalent: EquivalentWrite | undefined;
};

/** Asks one webhook if the write is its business. Undefined when it is not, or when its failure does not matter. Throws what refuses the write. */
async function call(
  { client, namespaces, configurations }: WebhookOptions<Configuration>,
  webhook: Webhook,
  write: AdmissionAttributes,
): Promise<WebhookAnswer | undefined> {
  const { rules = [], namespaceSelector, objectSelector, matchPolicy } = webhook;
  // Most writes are none of most webhooks' business, and finding their other versions costs.
  if (!mayMean(rules, write.request.resource)) return undefined;
  const namespace = await findNamespace(client, namespaces, write);
  const match = {
    resourceRules: rules,
    ...(namespaceSelector === undefined ? {} : { namespaceSelector }),
    ...(objectSelector === undefined ? {} : { objectSelector }),
  };
  const isMeant = ({ request }: Pick<AdmissionAttributes, "request">): boolean =>
    matchesWrite(match, { ...write, request }, namespace?.metadata?.labels);
  const isExact = isMeant(write);
  const equivalent = isExact || matchPolicy === "Exact" ? undefined : write.equivalents?.().find(isMeant);
  if (!isExact && equivalent === undefined) return undefined;
  const attributes = (await equivalent?.convert(write)) ?? write;
  const fails = webhook.failurePolicy !== "Ignore";
  if (webhook.matchConditions?.length) {
    const { conditionsHold } = await import("./match-conditions.ts");
    const holds = conditionsHold(webhook.matchConditions, attributes);
    if (holds instanceof Error && fails) throw refusalFor(attributes, holds.message);
    if (holds !== true) return undefined;
  }
  if (attributes.dryRun && webhook.sideEffects !== "None" && webhook.sideEffects !== "NoneOnDryRun") {
    throw badRequest(`admission webhook ${JSON.stringify(webhook.name)} does not support dry run`);
  }
  const findAgain = () => webhooksOf<Webhook>(configurations).find(({ name }) => name === webhook.name);
  const response = await answerOf({ client, webhook, findAgain }, attributes, fails);
  for (const warning of response?.warnings ?? []) attributes.warn?.(warning);
  if (response === undefined) return undefined;
  if (response.allowed !== true) throw rejection(webhook.name, response);
  return { response, seen: attributes, equivalent };
}

/** False where no rule is about resources of this name, in whatever group and version. */
function mayMean(rules: readonly RuleWithOperations[], resource: string): boolean {
  return rules.some(({ resources = [] }) =>
    resources.some((each) => each.startsWith("*") || each === resource || each.startsWith(`${resource}/`)),
  );
}

async function answerOf(
  asked: AskedWebhook,
  attributes: AdmissionAttributes,
  fails: boolean,
): Promise<WebhookResponse | undefined> {
  try {
    const { askWhenThere } = await import("./webhook-client.ts");
    return await askWhenThere(asked, attributes);
  } catch (error) {
    if (!fails) return undefined;
    throw failedCall(asked.webhook.name, error);
  }
}

function failedCall(name: string, error: unknown): StatusError {
  const why = error instanceof Error ? error.message : String(error);
  return internalError(new Error(`failed calling webhook ${JSON.stringify(name)}: ${why}`));
}

function refusalFor({ request, object }: AdmissionAttributes, why: string): StatusError {
  const name = request.name || object?.metadata?.name || "Unknown";
  const resource = request.apiGroup === "" ? request.resource : `${request.resource}.${request.apiGroup}`;
  const message = `${resource} ${JSON.stringify(name)} is forbidden: ${why}`;
  return new StatusError({ reason: "Forbidden", code: 403, message });
}

function rejection(name: string, { status = {} }: WebhookResponse): StatusError {
  const by = `admission webhook ${JSON.stringify(name)} denied the request`;
  const why = status.message || status.reason;
  return new StatusError({
    reason: (status.reason ?? "") as StatusReason,
    code: Math.max(status.code ?? 0, 400),
    message: why ? `${by}: ${why}` : `${by} without explanation`,
  });
}

/** The object as a webhook wants it, in the kind's shape. */
function patched(
  webhook: Webhook,
  { patch, patchType }: WebhookResponse,
  attributes: AdmissionAttributes,
): KubeObject | undefined {
  const { object } = attributes;
  if (!patch) return object;
  if (patchType !== undefined && patchType !== "JSONPatch") {
    throw failedCall(webhook.name, new Error(`unsupported patch type ${JSON.stringify(patchType)}`));
  }
  if (object === undefined) {
    const why = `admission webhook ${JSON.stringify(webhook.name)} attempted to modify the object, which is not supported for this operation`;
    throw internalError(new Error(why));
  }
  try {
    const operations = JSON.parse(Buffer.from(patch, "base64").toString()) as unknown;
    const result = applyJsonPatch(object as JsonObject, operations);
    if (!isJsonObject(result)) throw new Error("the patched document is no object");
    return attributes.conform === undefined ? (result as KubeObject) : attributes.conform(result as KubeObject);
  } catch (error) {
    throw internalError(error);
  }
}
