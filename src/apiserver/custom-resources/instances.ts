/**
 * Empties a custom resource that is going away: deletes all its objects and tells when the last one is gone, which finalizers may hold up.
 */
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";

/** Deletes instances of definitions. */
export class Instances {
  readonly #client: Client;
  /** Watches on what is left, by resource. */
  readonly #waiting = new Map<string, AbortController>();

  constructor(client: Client) {
    this.#client = client;
  }

  /** Deletes all objects; gives how many are still there. When some are, `onGone` is called once one of them goes. */
  async deleteAll(
    resource: GroupVersionResource,
    isNamespaced: boolean,
    { signal, onGone }: { readonly signal: AbortSignal; readonly onGone: () => void },
  ): Promise<number> {
    const found = await this.#client.list<KubeObject>({ resource }, { signal });
    const namespaces = new Set(found.items.map(({ metadata }) => metadata?.namespace ?? ""));
    for (const namespace of namespaces) {
      const ref = isNamespaced ? { resource, namespace } : { resource };
      await this.#client.deleteCollection(ref, {});
    }
    const left = await this.#client.list<KubeObject>({ resource }, { signal });
    if (left.items.length > 0) this.#watch(resource, left.metadata.resourceVersion ?? "", onGone);
    return left.items.length;
  }

  stop(): void {
    for (const controller of this.#waiting.values()) controller.abort();
    this.#waiting.clear();
  }

  #watch(resource: GroupVersionResource, resourceVersion: string, onGone: () => void): void {
    const key = `${resource.group}/${resource.resource}`;
    if (this.#waiting.has(key)) return;
    const controller = new AbortController();
    this.#waiting.set(key, controller);
    const wait = async (): Promise<void> => {
      const events = await this.#client.watch({ resource }, { resourceVersion, signal: controller.signal });
      for await (const event of events) if (event.type === "DELETED") return;
    };
    // However the watch ends, looking again is right.
    const end = (): void => {
      controller.abort();
      this.#waiting.delete(key);
      onGone();
    };
    wait().then(end, end);
  }
}
