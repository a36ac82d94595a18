/**
 * Calls admission webhooks: an AdmissionReview over HTTPS to a Service's endpoint or a URL, and its answer.
 */
import { randomUUID } from "node:crypto";
import type { MutatingWebhook, ValidatingWebhook } from "#api/generated/types/admissionregistration-v1.ts";
import type { AdmissionAttributes } from "#apiserver/admission.ts";
import { callWebhook } from "#apiserver/connect/webhook-call.ts";
import { callWhenThere } from "#apiserver/connect/when-there.ts";
import type { Client } from "#client/client.ts";
import { requestOf } from "./admission-request.ts";

export type Webhook = ValidatingWebhook | MutatingWebhook;

/** As upstream. */
const usualTimeoutSeconds = 10;

/** What a webhook says of a write. */
export type WebhookResponse = {
  readonly uid?: string;
  readonly allowed?: boolean;
  readonly status?: { readonly code?: number; readonly message?: string; readonly reason?: string };
  readonly patch?: string;
  readonly patchType?: string;
  readonly warnings?: readonly string[];
};

/** A webhook, and where it is by now: undefined when nobody wants it to be asked any more. */
export type AskedWebhook = {
  readonly client: Client;
  readonly webhook: Webhook;
  readonly findAgain: () => Webhook | undefined;
};

/** Asks a webhook as {@link askWebhook}; one on this machine may come up meanwhile. */
export function askWhenThere(
  { client, webhook, findAgain }: AskedWebhook,
  attributes: AdmissionAttributes,
): Promise<WebhookResponse> {
  const place = (each: Webhook) => ({ ...each, timeoutSeconds: each.timeoutSeconds ?? usualTimeoutSeconds });
  const placeByNow = () => {
    const found = findAgain();
    return found && place(found);
  };
  return callWhenThere(place(webhook), placeByNow, (current) => askWebhook(client, current, attributes));
}

/** Asks a webhook. Throws an Error that says what went wrong, without the webhook's name. */
export async function askWebhook(
  client: Client,
  webhook: Webhook,
  attributes: AdmissionAttributes,
): Promise<WebhookResponse> {
  const uid = randomUUID();
  const version = webhook.admissionReviewVersions.find((each) => each === "v1" || each === "v1beta1") ?? "v1";
  const head = { kind: "AdmissionReview", apiVersion: `admission.k8s.io/${version}` };
  const review = { ...head, request: { uid, ...requestOf(attributes), ...objectsOf(attributes) } };
  const answer = (await post(client, webhook, review)) as {
    readonly kind?: string;
    readonly apiVersion?: string;
    readonly response?: WebhookResponse;
  };
  const { response } = answer;
  if (response === undefined || response === null) throw invalidAnswer("webhook response was absent");
  if (version === "v1") {
    if (answer.kind !== head.kind || answer.apiVersion !== head.apiVersion) {
      const got = `got apiVersion, kind = ${JSON.stringify(answer.apiVersion ?? "")}, ${JSON.stringify(answer.kind ?? "")}`;
      throw invalidAnswer(`expected webhook response of ${head.apiVersion}, Kind=AdmissionReview, ${got}`);
    }
    if (response.uid !== uid) throw invalidAnswer(`expected response.uid=${JSON.stringify(uid)}`);
  }
  return response;
}

function invalidAnswer(why: string): Error {
  return new Error(`received invalid webhook response: ${why}`);
}

/** Objects as they go over the wire, with their type. */
function objectsOf({ object, oldObject, kind }: AdmissionAttributes): object {
  const apiVersion = kind.group === "" ? kind.version : `${kind.group}/${kind.version}`;
  const typed = (value: object | undefined): object | null =>
    value === undefined ? null : { apiVersion, kind: kind.kind, ...value };
  return { object: typed(object), oldObject: typed(oldObject) };
}

async function post(
  client: Client,
  { clientConfig, timeoutSeconds = usualTimeoutSeconds }: Webhook,
  review: object,
): Promise<unknown> {
  try {
    return await callWebhook(client, { clientConfig, timeoutSeconds, body: JSON.stringify(review) });
  } catch (error) {
    throw new Error(`failed to call webhook: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}
