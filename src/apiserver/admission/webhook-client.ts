/**
 * Calls admission webhooks: an AdmissionReview over HTTPS to a Service's endpoint or a URL, and its answer.
 */
import { randomUUID } from "node:crypto";
import { request as httpsRequest } from "node:https";
import { isIP } from "node:net";
import type { MutatingWebhook, ValidatingWebhook } from "#api/generated/types/admissionregistration-v1.ts";
import type { AdmissionAttributes } from "#apiserver/admission.ts";
import { findServiceTarget } from "#apiserver/connect/proxy-target.ts";
import type { Client } from "#client/client.ts";
import { requestOf } from "./admission-request.ts";

/** Largest answer that is read, in bytes. */
const maxAnswerBytes = 3 << 20;

export type Webhook = ValidatingWebhook | MutatingWebhook;

/** What a webhook says of a write. */
export type WebhookResponse = {
  readonly uid?: string;
  readonly allowed?: boolean;
  readonly status?: { readonly code?: number; readonly message?: string; readonly reason?: string };
  readonly patch?: string;
  readonly patchType?: string;
  readonly warnings?: readonly string[];
};

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
  const answer = (await post(client, webhook, JSON.stringify(review))) as {
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

async function post(client: Client, webhook: Webhook, body: string): Promise<unknown> {
  const { clientConfig, timeoutSeconds = 10 } = webhook;
  const { service, url, caBundle } = clientConfig;
  const host = service === undefined ? "" : `${service.name}.${service.namespace}.svc`;
  const address = new URL(
    service === undefined ? (url ?? "") : `https://${host}:${service.port ?? 443}${service.path ?? ""}`,
  );
  address.searchParams.set("timeout", `${timeoutSeconds}s`);
  const signal = AbortSignal.timeout(timeoutSeconds * 1000);
  try {
    const target =
      service === undefined
        ? undefined
        : await findServiceTarget(client, service.namespace, service.name, String(service.port ?? 443));
    const text = await send(address, { target, ca: caBundle, body, signal });
    return JSON.parse(text) as unknown;
  } catch (error) {
    const why = signal.aborted ? "context deadline exceeded" : error instanceof Error ? error.message : String(error);
    throw new Error(`failed to call webhook: Post ${JSON.stringify(address.href)}: ${why}`, { cause: error });
  }
}

type Sending = {
  readonly target: { readonly host: string; readonly port: number } | undefined;
  readonly ca: string | undefined;
  readonly body: string;
  readonly signal: AbortSignal;
};

function send(address: URL, { target, ca, body, signal }: Sending): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest({
      method: "POST",
      host: target?.host ?? address.hostname,
      port: target?.port ?? (address.port === "" ? 443 : Number(address.port)),
      path: address.pathname + address.search,
      ...(isIP(address.hostname) === 0 ? { servername: address.hostname } : {}),
      headers: { host: address.host, "content-type": "application/json", "content-length": Buffer.byteLength(body) },
      ...(ca === undefined ? {} : { ca: Buffer.from(ca, "base64") }),
      // Each call on its own: certificates of webhooks change.
      agent: false,
      signal,
    });
    request.on("error", reject);
    request.on("response", (response) => {
      const parts: Buffer[] = [];
      let size = 0;
      response.on("data", (part: Buffer) => {
        size += part.length;
        if (size > maxAnswerBytes) response.destroy(new Error("webhook response is too large"));
        else parts.push(part);
      });
      response.on("error", reject);
      response.on("end", () => {
        const code = response.statusCode ?? 0;
        if (code >= 200 && code < 300) resolve(Buffer.concat(parts).toString());
        else reject(new Error(`the server responded with the status code ${code}`));
      });
    });
    request.end(body);
  });
}
