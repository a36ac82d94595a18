/**
 * The records that a node last knew, in a file of its own: a node that starts while the control plane is away answers names from them until it hears from the API again. As resolvers
 * serve stale data (RFC 8767). Only what names need is kept. A file that is damaged, of another form or too large counts as none.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Namespace, Service as KubeService } from "#api/generated/types/core-v1.ts";
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Informer } from "#client/informer.ts";
import { type IndexFunction, keyOf, ObjectStore } from "#client/object-store.ts";
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { endpointSliceIndexes, isHeadless, type RecordSources, serviceIndexes } from "./cluster-records.ts";

/** Where records come from, and hear of changes. */
export type RecordInformers = {
  readonly services: Informer<KubeService>;
  readonly endpointSlices: Informer<EndpointSlice>;
  readonly namespaces: Informer<Namespace>;
};

/** What the file is kept with. */
export type LastKnownOptions = {
  readonly path: string;
  /** Larger ones are neither written nor read, in bytes. Default 16 MiB: some 100,000 Services. */
  readonly maxBytes?: number;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** First word of the file. Another form gets another number; what cannot be read counts as none. */
const form = "nodeless-dns-1";
/** Changes are gathered this long before they are written. */
const gatherMs = 1000;
/** Writing takes no more than this share of the time. */
const busyShare = 0.01;

type Content = {
  readonly savedAt: string;
  readonly services: readonly KubeService[];
  readonly endpointSlices: readonly EndpointSlice[];
  readonly namespaces: readonly Namespace[];
};

/** The file. */
export class LastKnownRecords {
  readonly #options: Required<LastKnownOptions>;
  readonly #removers: (() => void)[] = [];
  #timer: Timer | undefined;
  #writing: Promise<void> = Promise.resolve();
  #checksum = "";
  #waitMs = gatherMs;

  constructor(options: LastKnownOptions) {
    this.#options = { maxBytes: 16 << 20, ...options };
  }

  /** What was known when the file was written, or undefined. */
  load(): RecordSources | undefined {
    const { path, logger } = this.#options;
    try {
      const content = this.#read();
      if (content === undefined) return undefined;
      const { savedAt, services, endpointSlices, namespaces } = content;
      logger.debug("Read the names that were known last", { services: services.length, savedAt });
      return {
        services: storeOf(services, serviceIndexes),
        endpointSlices: storeOf(endpointSlices, endpointSliceIndexes),
        namespaces: storeOf(namespaces, {}),
      };
    } catch (error) {
      logger.warn("Read no last known names", { path, error });
      return undefined;
    }
  }

  /** Writes what the informers know, which must have their first lists, now and after every change that matters for names. */
  follow(informers: RecordInformers): void {
    const mark = () => {
      this.#timer ??= this.#options.clock.setTimer(this.#waitMs, () => void this.#save(informers)); // never rejects
    };
    const markSlice = (slice: EndpointSlice) => {
      if (isOfHeadless(slice, informers.services)) mark();
    };
    this.#removers.push(
      informers.services.addHandler({ onAdd: mark, onUpdate: mark, onDelete: mark }),
      informers.namespaces.addHandler({ onAdd: mark, onDelete: mark }),
      informers.endpointSlices.addHandler({
        onAdd: markSlice,
        onUpdate: (_before, after) => markSlice(after),
        onDelete: markSlice,
      }),
    );
  }

  /** Ends; a change that waits to be written is lost, as it is when the process dies. */
  async stop(): Promise<void> {
    for (const remove of this.#removers.splice(0)) remove();
    this.#timer?.clear();
    await this.#writing;
  }

  #read(): Content | undefined {
    const { path, maxBytes } = this.#options;
    const size = statSync(path, { throwIfNoEntry: false })?.size;
    if (size === undefined) return undefined;
    if (size > maxBytes) throw new Error(`the file has ${size} bytes`);
    const [head, body] = halves(readFileSync(path, "utf8"));
    const [foundForm, checksum] = head.split(" ");
    if (foundForm !== form) throw new Error(`the file is of the form ${JSON.stringify(foundForm)}`);
    if (checksum !== checksumOf(body)) throw new Error("the file is damaged");
    const content = JSON.parse(body) as Content;
    this.#checksum = checksumOf(bodyOf({ ...content, savedAt: "" }));
    return content;
  }

  async #save(informers: RecordInformers): Promise<void> {
    const { clock, logger, path, maxBytes } = this.#options;
    const startMs = performance.now();
    this.#timer = undefined;
    const content = contentOf(informers);
    const checksum = checksumOf(bodyOf(content));
    if (checksum === this.#checksum) return;
    const body = bodyOf({ ...content, savedAt: new Date(clock.now()).toISOString() });
    this.#waitMs = Math.max(gatherMs, (performance.now() - startMs) / busyShare);
    if (body.length > maxBytes) logger.warn("Kept no names on disk, there are too many", { bytes: body.length });
    this.#writing = this.#writing
      .then(() => (body.length > maxBytes ? rm(path, { force: true }) : replace(path, body)))
      .then(() => void (this.#checksum = checksum))
      .catch((error: unknown) => logger.warn("Kept no names on disk", { path, error }));
    await this.#writing;
  }
}

/** Whole or not at all. Not synced: after a power cut the node hears everything anew, and a damaged file counts as none. */
async function replace(path: string, body: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  await writeFile(`${path}.part`, `${form} ${checksumOf(body)}\n${body}`, { mode: 0o600 });
  await rename(`${path}.part`, path);
}

function contentOf({ services, endpointSlices, namespaces }: RecordInformers): Content {
  return {
    savedAt: "",
    services: services.lister.list().map(serviceFacts),
    endpointSlices: endpointSlices.lister
      .list()
      .filter((slice) => isOfHeadless(slice, services))
      .map(sliceFacts),
    namespaces: namespaces.lister.list().map(({ metadata }) => ({ metadata: nameOf(metadata) })),
  };
}

function serviceFacts({ metadata, spec }: KubeService): KubeService {
  const { type, clusterIP, clusterIPs, externalName, ports } = spec ?? {};
  return {
    metadata: nameOf(metadata),
    spec: {
      ...(type && { type }),
      ...(clusterIP && { clusterIP }),
      ...(clusterIPs && { clusterIPs }),
      ...(externalName && { externalName }),
      ...(ports && { ports: ports.map(portFacts) }),
    },
  };
}

function sliceFacts({ metadata, addressType, endpoints, ports }: EndpointSlice): EndpointSlice {
  return {
    metadata: {
      ...nameOf(metadata),
      labels: { "kubernetes.io/service-name": metadata?.labels?.["kubernetes.io/service-name"] ?? "" },
    },
    addressType,
    endpoints: (endpoints ?? []).map(({ addresses, hostname, conditions }) => ({
      addresses,
      ...(hostname && { hostname }),
      ...(conditions?.ready === undefined ? {} : { conditions: { ready: conditions.ready } }),
    })),
    ports: (ports ?? []).map(portFacts),
  };
}

type Port = { readonly name?: string; readonly port?: number; readonly protocol?: string };

function portFacts<P extends Port>({ name, port, protocol }: P): P {
  return { ...(name && { name }), ...(port && { port }), ...(protocol && { protocol }) } as P;
}

function nameOf(metadata: KubeObject["metadata"]): { readonly name: string; readonly namespace?: string } {
  const { name = "", namespace } = metadata ?? {};
  return { name, ...(namespace && { namespace }) };
}

function isOfHeadless({ metadata }: EndpointSlice, services: Informer<KubeService>): boolean {
  const name = metadata?.labels?.["kubernetes.io/service-name"];
  const service = name === undefined ? undefined : services.lister.find(metadata?.namespace ?? "", name);
  return service !== undefined && isHeadless(service);
}

function storeOf<T extends KubeObject>(
  objects: readonly T[],
  indexes: Readonly<Record<string, IndexFunction<T>>>,
): ObjectStore<T> {
  const store = new ObjectStore<T>();
  for (const [name, keysOf] of Object.entries(indexes)) store.addIndex(name, keysOf);
  for (const object of objects) store.set(keyOf(object), object);
  return store;
}

function bodyOf(content: Content): string {
  return JSON.stringify(content);
}

function checksumOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function halves(text: string): readonly [string, string] {
  const end = text.indexOf("\n");
  return [text.slice(0, end), text.slice(end + 1)];
}
