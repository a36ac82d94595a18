/**
 * An API server in this process that calls webhooks as every cluster's does: for tests of what a part answers over HTTPS.
 */
import type {
  MutatingWebhookConfiguration,
  ValidatingWebhookConfiguration,
} from "#api/generated/types/admissionregistration-v1.ts";
import { MutatingWebhookPlugin, ValidatingWebhookPlugin } from "#apiserver/admission/webhooks.ts";
import { allowAll, startTestApiServer, trustAll } from "#apiserver/testing/test-api-server.ts";
import type { Client } from "#client/client.ts";
import { createInformerFactory } from "#client/informer-factory.ts";
import { systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";

const admission = { group: "admissionregistration.k8s.io", version: "v1" };

/** Starts it, has `body` use it, and ends it. */
export async function withWebhooks(body: (client: Client) => Promise<void>): Promise<void> {
  const { signal } = new AbortController();
  const parts: { stop(): Promise<void> }[] = [];
  const api = await startTestApiServer({
    access: ({ client }) => {
      const informers = createInformerFactory({ client, clock: systemClock, logger: silentLogger });
      parts.push(informers);
      const namespaces = informers.informer({ resource: { group: "", version: "v1", resource: "namespaces" } });
      const mutating = { ...admission, resource: "mutatingwebhookconfigurations" };
      const validating = { ...admission, resource: "validatingwebhookconfigurations" };
      const plugins = [
        new MutatingWebhookPlugin({
          client,
          configurations: informers.informer<MutatingWebhookConfiguration>({ resource: mutating }),
          namespaces,
        }),
        new ValidatingWebhookPlugin({
          client,
          configurations: informers.informer<ValidatingWebhookConfiguration>({ resource: validating }),
          namespaces,
        }),
      ];
      void informers.start(signal); // its loops report for themselves
      return { authenticator: trustAll, authorizer: allowAll, admission: plugins };
    },
  });
  try {
    await body(api.client);
  } finally {
    await Promise.all(parts.map((part) => part.stop()));
    await api.stop();
  }
}

/** Does something again and again until the result is good. The API server hears of webhooks a moment after they were written. */
export async function eventually<T>(act: (attempt: number) => Promise<T>, isGood: (result: T) => boolean): Promise<T> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const result = await act(attempt);
    if (isGood(result)) return result;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error("it never became so");
}
