/**
 * Makes the objects that new clusters begin with (src/apiserver/bootstrap/first-objects.ts): an API server of its own makes what each makes, and is then given the kinds of Knative, of Functions and of Repositories, with the
 * webhooks that look at them, by what installs them in any other cluster. So `nodeless up && kubectl apply` finds them, and no start pays for them.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadKindFacts } from "#api/kind-facts-table.ts";
import { strategyOf } from "#api/strategies.ts";
import { type ApiServer, createApiServer, loopbackUser } from "#apiserver/api-server.ts";
import { keysOfFirstObjects, packFirstObjects } from "#apiserver/bootstrap/first-objects.ts";
import { createClusterAccess } from "#apiserver/cluster-access.ts";
import type { Client } from "#client/client.ts";
import { installDefinitions } from "#client/custom-resources.ts";
import type { FirstObjectsPart } from "#cmd/control-plane/first-objects.ts";
import { ensurePki, type Pki } from "#component-base/certificates.ts";
import { systemClock as clock } from "#component-base/clock.ts";
import { silentLogger as logger } from "#component-base/logger.ts";
import { repositoryDefinition } from "#delivery/crds/repository-definition.ts";
import { eventingRules } from "#eventing/admission/rules.ts";
import { eventingDefinitions, eventingKinds } from "#eventing/crds/custom-resources.ts";
import { functionDefinition } from "#functions/crds/function-definition.ts";
import { ensureWebhookConfigurations } from "#knative/admission/webhook-configurations.ts";
import { conversionPath } from "#knative/admission/webhook-server.ts";
import { servingRules } from "#serving/admission/rules.ts";
import { customResourceDefinitions } from "#serving/crds/custom-resources.ts";
import { createMemoryStore } from "#store/memory/memory-store.ts";
import type { Store } from "#store/store.ts";

/** Nobody can listen there: who calls a webhook at this place tries again, and finds the server's own when it is up. */
const nowhere = { url: "https://127.0.0.1:0", ca: "" };
/** What names the CA of a cluster. */
const ownPrefix = "/registry/configmaps/";
/** Nothing is written for so long: all has been made. */
const quietMs = 150;

type Install = (client: Client, signal: AbortSignal) => Promise<void>;

const installs: Readonly<Record<FirstObjectsPart, Install>> = {
  async cluster() {}, // the API server makes it
  async serving(client, signal) {
    const definitions = [...customResourceDefinitions(loadKindFacts()), functionDefinition(), repositoryDefinition()];
    await ensureWebhookConfigurations(client, nowhere, { part: "serving", rules: servingRules, signal });
    await installDefinitions(client, definitions, { clock, signal });
  },
  async eventing(client, signal) {
    const converter = { url: `${nowhere.url}${conversionPath}`, ca: nowhere.ca };
    await ensureWebhookConfigurations(client, nowhere, { part: "eventing", rules: eventingRules, signal });
    await installDefinitions(client, eventingDefinitions(eventingKinds, converter), { clock, signal });
  },
};

/** Writes a file for each part into the folder. */
export async function writeFirstObjectFiles(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  for (const [part, text] of await makeFirstObjects()) writeFileSync(join(folder, part), text);
}

/** What each part adds to those before it, packed. */
export async function makeFirstObjects(): Promise<ReadonlyMap<FirstObjectsPart, string>> {
  // Clocks of ours keep no process alive.
  const alive = setInterval(() => {}, 1000);
  const store = createMemoryStore();
  const server = createApiServer(optionsOf(store, await temporaryPki()));
  const { signal } = new AbortController();
  const made = new Map<FirstObjectsPart, string>();
  try {
    await server.start(signal);
    const known = new Set<string>();
    for (const [part, install] of Object.entries(installs)) {
      await install(server.client(loopbackUser), signal);
      await untilQuiet(store);
      const packed = await packFirstObjects(store, (key) => !known.has(key) && !key.startsWith(ownPrefix));
      for (const key of keysOfFirstObjects(packed)) known.add(key);
      made.set(part as FirstObjectsPart, packed);
    }
  } finally {
    await server.stop();
    await store.close();
    clearInterval(alive);
  }
  return made;
}

/** As a cluster's, without what is its own: addresses. */
function optionsOf(store: Store, pki: Pki): ConstructorParameters<typeof ApiServer>[0] {
  const { ca, frontProxyCa, frontProxyClient, server, serviceAccountKey } = pki;
  return {
    store,
    kindFacts: loadKindFacts(),
    findStrategy: (group, _version, kind) => strategyOf(group, kind),
    access: createClusterAccess({
      clientCa: ca.certificate,
      frontProxyCa: frontProxyCa.certificate,
      serviceAccountKey: serviceAccountKey.privateKey,
      issuer: "https://kubernetes.default.svc.cluster.local",
      publicAddress: "127.0.0.1:443",
      clock,
      logger,
    }),
    aggregation: { certificate: frontProxyClient.certificate, key: frontProxyClient.privateKey },
    https: {
      addresses: ["127.0.0.1"],
      port: 0,
      serving: { certificate: server.certificate, key: server.privateKey },
      clientCa: ca.certificate,
    },
    clock,
    logger,
  };
}

async function temporaryPki(): Promise<Pki> {
  const folder = mkdtempSync(join(tmpdir(), "nodeless-first-objects-"));
  try {
    return await ensurePki(folder, { serverAddresses: ["127.0.0.1"], clock });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function untilQuiet(store: Store): Promise<void> {
  for (let before = 0; before !== store.currentRevision(); ) {
    before = store.currentRevision();
    await clock.sleep(quietMs);
  }
}
