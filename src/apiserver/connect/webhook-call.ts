/**
 * Calls of webhooks, whatever they are for: JSON over HTTPS to a ready endpoint of a Service or to a URL, and the JSON that comes back.
 */
import type { Agent } from "node:https";
import { request as httpsRequest } from "node:https";
import { isIP } from "node:net";
import type { WebhookClientConfig } from "#api/generated/types/admissionregistration-v1.ts";
import type { Client } from "#client/client.ts";
import { findServiceTarget } from "./proxy-target.ts";

/** Largest answer that is read if nothing else is said, in bytes. */
const usualAnswerBytes = 3 << 20;

/** One call. */
export type WebhookCall = {
  readonly clientConfig: WebhookClientConfig;
  readonly timeoutSeconds: number;
  readonly body: string;
  /** Keeps connections for the next call. Absent: each call makes its own, since certificates of webhooks change. */
  readonly agent?: Agent;
  readonly maxAnswerBytes?: number;
};

/** Calls a webhook. Throws an Error that begins with `Post "URL": `. */
export async function callWebhook(client: Client, call: WebhookCall): Promise<unknown> {
  const { timeoutSeconds } = call;
  const { service, url } = call.clientConfig;
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
    return JSON.parse(await send(address, { target, call, signal })) as unknown;
  } catch (error) {
    const why = signal.aborted ? "context deadline exceeded" : error instanceof Error ? error.message : String(error);
    throw new Error(`Post ${JSON.stringify(address.href)}: ${why}`, { cause: error });
  }
}

type Sending = {
  readonly target: { readonly host: string; readonly port: number } | undefined;
  readonly call: WebhookCall;
  readonly signal: AbortSignal;
};

function send(address: URL, { target, call, signal }: Sending): Promise<string> {
  const { body, agent, maxAnswerBytes = usualAnswerBytes } = call;
  const { caBundle } = call.clientConfig;
  return new Promise((resolve, reject) => {
    const request = httpsRequest({
      method: "POST",
      host: target?.host ?? address.hostname,
      port: target?.port ?? (address.port === "" ? 443 : Number(address.port)),
      path: address.pathname + address.search,
      ...(isIP(address.hostname) === 0 ? { servername: address.hostname } : {}),
      headers: { host: address.host, "content-type": "application/json", "content-length": Buffer.byteLength(body) },
      ...(caBundle === undefined ? {} : { ca: Buffer.from(caBundle, "base64") }),
      agent: agent ?? false,
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
