/**
 * A real API server on the memory store, for tests of all parts: in-process, and over HTTPS when asked for. Everybody is who they say they are and may do everything.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadKindFacts } from "#api/kind-facts-table.ts";
import { strategyOf } from "#api/strategies.ts";
import type { Client } from "#client/client.ts";
import { createHttpTransport } from "#client/http-transport.ts";
import { createClient } from "#client/rest-client.ts";
import { ensurePki, issueClientCertificate, type Pki } from "#component-base/certificates.ts";
import { type Clock, systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { createMemoryStore } from "#store/memory/memory-store.ts";
import type { Store } from "#store/store.ts";
import type { Namespace } from "#api/generated/types/core-v1.ts";
import { forbidden } from "#apimachinery/status-error.ts";
import type { AdmissionPlugin } from "#apiserver/admission.ts";
import {
  type ApiServer,
  type ApiServerOptions,
  createApiServer,
  type Loopback,
  loopbackUser,
} from "#apiserver/api-server.ts";
import type { Authenticator, Authorizer, User } from "#apiserver/request.ts";
import type { Patience } from "#apiserver/server/https-server.ts";

/** A running server. */
export type TestApiServer = {
  readonly server: ApiServer;
  readonly store: Store;
  /** In-process, as system:masters. */
  readonly client: Client;
  /** In-process, as somebody. */
  clientAs(user: User): Client;
  /** "https://127.0.0.1:PORT"; "" without `https`. */
  readonly url: string;
  /** Keys and certificates; only with `https`. */
  readonly pki: Pki | undefined;
  /** Over HTTPS with a client certificate of system:masters; only with `https`. */
  httpClient(): Client;
  stop(): Promise<void>;
};

/** What a test may want otherwise. */
export type TestApiServerOptions = Partial<Omit<ApiServerOptions, "https">> & {
  readonly https?: boolean;
  /** With `https`. */
  readonly externalHost?: string;
  /** With `https`. */
  readonly patience?: Patience;
};

/** Allows everything. */
export const allowAll: Authorizer = { authorize: async () => ({ allowed: true, reason: "" }) };

/** Takes the client certificate's subject for the user, and admin for those without. */
export const trustAll: Authenticator = {
  authenticate: async ({ clientCertificate }) => ({
    user:
      clientCertificate === undefined
        ? { name: "admin", groups: ["system:masters", "system:authenticated"] }
        : { name: clientCertificate.commonName, groups: [...clientCertificate.organizations, "system:authenticated"] },
  }),
};

// Controllers and a namespace's end would keep each other busy for ever without it.
function refuseTerminating(findObject: Loopback["findObject"]): AdmissionPlugin {
  return {
    name: "NamespaceLifecycle",
    handles: ({ operation, request }) =>
      operation === "CREATE" && request.namespace !== "" && request.resource !== "namespaces",
    async validate({ request }) {
      const { namespace, resource, apiGroup, name } = request;
      const found = (await findObject("namespaces", "", namespace)) as Namespace | undefined;
      if (found?.status?.phase !== "Terminating") return;
      const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
      throw forbidden({ group: apiGroup, resource, name }, why);
    },
  };
}

/** Starts a server. Stop it at the end of the test. */
export async function startTestApiServer(options: TestApiServerOptions = {}): Promise<TestApiServer> {
  const clock: Clock = options.clock ?? systemClock;
  const store = options.store ?? createMemoryStore();
  const { https: wantsHttps = false, patience, externalHost, ...rest } = options;
  const pki = wantsHttps ? await temporaryPki(clock) : undefined;
  const server = createApiServer({
    store,
    kindFacts: loadKindFacts(),
    findStrategy: (group, _version, kind) => strategyOf(group, kind),
    access: ({ findObject }) => ({
      authenticator: trustAll,
      authorizer: allowAll,
      admission: [refuseTerminating(findObject)],
    }),
    clock,
    logger: silentLogger,
    ...rest,
    ...(pki === undefined
      ? {}
      : {
          https: {
            ...httpsOf(pki),
            ...(patience === undefined ? {} : { patience }),
            ...(externalHost === undefined ? {} : { externalHost }),
          },
        }),
  });
  await server.start(new AbortController().signal);
  const clients: Client[] = [];
  const track = (client: Client): Client => {
    clients.push(client);
    return client;
  };
  return {
    server,
    store,
    client: track(server.client(loopbackUser)),
    clientAs: (user) => track(server.client(user)),
    url: pki === undefined ? "" : `https://127.0.0.1:${server.port}`,
    pki,
    httpClient: () => track(httpClient(server, pki, clock)),
    async stop() {
      await Promise.all(clients.map((client) => client.transport.close()));
      await server.stop();
      await store.close();
    },
  };
}

async function temporaryPki(clock: Clock): Promise<Pki> {
  const folder = await mkdtemp(join(tmpdir(), "nodeless-pki-"));
  try {
    return await ensurePki(folder, { serverAddresses: ["127.0.0.1", "localhost"], clock });
  } finally {
    await rm(folder, { recursive: true });
  }
}

function httpsOf(pki: Pki): NonNullable<ApiServerOptions["https"]> {
  const { certificate, privateKey } = pki.server;
  return {
    addresses: ["127.0.0.1"],
    port: 0,
    serving: { certificate, key: privateKey },
    clientCa: pki.ca.certificate,
  };
}

function httpClient(server: ApiServer, pki: Pki | undefined, clock: Clock): Client {
  if (pki === undefined) throw new Error("the test server was started without https");
  const { certificate, privateKey } = issueClientCertificate(pki.ca, {
    commonName: "admin",
    organizations: ["system:masters"],
    clock,
  });
  const transport = createHttpTransport({
    server: `https://127.0.0.1:${server.port}`,
    ca: pki.ca.certificate,
    clientCertificate: { certificate, key: privateKey },
  });
  return createClient(transport);
}
